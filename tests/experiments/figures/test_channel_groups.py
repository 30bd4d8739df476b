import json
import math

import numpy as np
import pytest
import torch
from experiments.figures.names import NAMES, assert_drawn

from aa_detectron.errors import InputError
from aa_detectron.experiments.figures.channel_groups import (
    Correlation,
    compare_groups,
    draw_correlation,
    plot_groups,
)


def planted(groups=4, channels=20, noise=0.5):
    """Maps of two images, whose channels share a signal within their group."""
    maps = []
    for side in (12, 9):
        signal = torch.randn(1, groups, side, side).repeat_interleave(channels // groups, dim=1)
        maps.append(signal + noise * torch.randn(1, channels, side, side))
    return maps


def channel_correlation(maps):
    sums = Correlation(maps[0].shape[1])
    for x in maps:
        sums.add(x)
    return sums.result()


def test_correlation_equals_a_loop():
    maps = [100 + m for m in planted()]
    found = channel_correlation(maps)
    values = [torch.cat([m[0, c].flatten() for m in maps]).double() for c in range(20)]
    for i, j in ((0, 0), (0, 1), (3, 17)):
        a, b = (v - v.mean() for v in (values[i], values[j]))
        assert found[i, j] == pytest.approx(float((a * b).sum() / (a.norm() * b.norm())))


def test_planted_groups_are_found():
    correlation = channel_correlation(planted())
    found = compare_groups(correlation, 4)
    assert found["within"] == pytest.approx(1 / (1 + 0.5**2), abs=0.05)
    assert found["across"] == pytest.approx(0, abs=0.1)
    assert found["p"] == 1 / 1000
    order = np.random.default_rng(0).permutation(20)
    mixed = compare_groups(correlation[np.ix_(order, order)], 4)
    assert abs(mixed["difference"]) < 0.2 and mixed["p"] > 0.01


def test_means_by_hand():
    correlation = np.array(
        [[1, 0.8, 0.1, 0.2], [0.8, 1, 0.3, 0], [0.1, 0.3, 1, 0.6], [0.2, 0, 0.6, 1]]
    )
    found = compare_groups(correlation, 2)
    assert found["within"] == pytest.approx(0.7)
    assert found["across"] == pytest.approx(0.15)
    # Of the three ways to make two pairs only this one has such a difference.
    assert found["p"] == pytest.approx(1 / 3, abs=0.05)


def test_constant_channels_do_not_count():
    maps = planted()
    for m in maps:
        m[:, 3] = 2.0
    correlation = channel_correlation(maps)
    assert np.isnan(correlation[3]).all() and np.isnan(correlation[:, 3]).all()
    found = compare_groups(correlation, 4)
    assert found["constant"] == 1
    assert found["within"] == pytest.approx(0.8, abs=0.05)


def test_one_group_has_no_others():
    found = compare_groups(channel_correlation(planted()), 1)
    assert math.isfinite(found["within"])
    assert math.isnan(found["across"]) and math.isnan(found["p"])


def test_groups(detector, files, tmp_path, written):
    names = written(plot_groups({"a": detector}, files, str(tmp_path)))
    assert names == {"groups.json", "groups.png"}
    found = json.loads((tmp_path / "groups.json").read_text())["a"]
    assert found["stem"]["groups"] == 8 and -1 <= found["stem"]["within"] <= 1


def test_model_without_filters(plain_detector, files, tmp_path):
    with pytest.raises(InputError, match="blur: has no adaptive filters"):
        plot_groups({"blur": plain_detector}, files, str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_models_that_share_no_place(models_apart, files, tmp_path):
    with pytest.raises(InputError, match="a: stem, .*; b: other; but a figure needs a place"):
        plot_groups(models_apart, files, str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_names_are_drawn_as_they_are(name):
    correlation = np.eye(4)
    found = compare_groups(correlation, 2)
    assert_drawn(draw_correlation({name: {"stem": (correlation, found)}}), f"{name}: channel")
