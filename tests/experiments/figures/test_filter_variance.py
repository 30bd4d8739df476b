import json
import math
import warnings

import numpy as np
import pytest
import torch
from experiments.figures.names import NAMES, assert_drawn
from torch import nn

from aa_detectron.errors import InputError
from aa_detectron.experiments.figures.filter_variance import (
    binomial_variance,
    describe,
    distances_from_blur,
    draw_variance,
    filter_variance,
    identity_variance,
    plot_variance,
    variance_maps,
)
from aa_detectron.layers import AdaptiveBlurPool2d


def one_hot(taps):
    filters = torch.zeros(taps)
    filters[taps // 2] = 1
    return filters


@pytest.mark.parametrize("taps", [9, 25])
def test_by_hand(taps):
    kinds = torch.stack([one_hot(taps), torch.full((taps,), 1 / taps)])
    identity, average = filter_variance(kinds.view(1, 2, taps, 1, 1)).flatten().tolist()
    assert identity == pytest.approx(1 / taps * (1 - 1 / taps)) == identity_variance(taps)
    assert average == pytest.approx(0, abs=1e-12)


def test_binomial_by_hand():
    # (4 * 1 + 4 * 4 + 16) / 256 is the sum of squares.
    assert binomial_variance(3) == pytest.approx(36 / 256 / 9 - 1 / 81)


def test_softmax_over_all_groups_makes_no_difference():
    filters = torch.rand(2, 4, 9, 3, 5)
    filters /= filters.sum(2, keepdim=True)
    assert torch.allclose(filter_variance(filters / 4), filter_variance(filters))


class Halves(AdaptiveBlurPool2d):
    """The identity on the left, the average on the right."""

    def predict_filters(self, x):
        filters = torch.full((1, self.groups, 9, x.shape[2] // 2, x.shape[3] // 2), 1 / 9)
        filters[..., : filters.shape[-1] // 2] = one_hot(9).view(9, 1, 1)
        return filters


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(Halves(4, groups=2))

    def forward(self, items):
        return self.backbone(items[0]["image"][None])


def test_distance_from_the_blur_by_hand():
    (found,) = distances_from_blur(Model().eval(), {"image": torch.rand(4, 8, 16)}).values()
    blur = [1 / 16, 2 / 16, 1 / 16, 2 / 16, 4 / 16, 2 / 16, 1 / 16, 2 / 16, 1 / 16]
    identity = sum(abs(tap - (number == 4)) for number, tap in enumerate(blur)) / 9
    average = sum(abs(tap - 1 / 9) for tap in blur) / 9
    assert found == pytest.approx((identity + average) / 2)


def test_map_over_the_image():
    (found,) = variance_maps(Model().eval(), {"image": torch.rand(4, 8, 16)}).values()
    assert found.shape == (8, 16)
    assert torch.allclose(found[:, :7], torch.ones(8, 7))
    assert torch.allclose(found[:, 8:], torch.zeros(8, 8), atol=1e-6)


def test_numbers_of_a_map():
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, 8:] = np.random.default_rng(0).integers(0, 256, (8, 8, 1))
    variance = torch.cat([torch.ones(8, 8), torch.zeros(8, 8)], dim=1)
    found = describe(variance, image, 3)
    assert (found["mean"], found["low"], found["high"]) == (0.5, 0, 1)
    assert found["correlation_with_gradient"] < -0.8
    assert found["binomial"] == pytest.approx(binomial_variance(3) / (8 / 81))
    assert math.isnan(describe(torch.ones(8, 16), image, 3)["correlation_with_gradient"])


def test_figure_has_one_scale_for_a_place_and_no_shortcuts():
    maps = {"stem": torch.rand(8, 6), "res3": torch.rand(8, 6), "res3 shortcut": torch.rand(8, 6)}
    images = {"a": np.zeros((8, 6, 3), np.uint8), "b": np.zeros((8, 6, 3), np.uint8)}
    figure = draw_variance(images, {"a": maps, "b": {k: 2 * m for k, m in maps.items()}})
    shown = [axes.images[0] for axes in figure.axes if axes.images and axes.get_xlim()[1] == 5.5]
    assert len(shown) == 6
    assert shown[1].get_clim() == shown[4].get_clim() != shown[2].get_clim() == shown[5].get_clim()
    assert shown[1].get_clim()[1] == 2 * maps["stem"].max()


def test_flat_image_has_no_correlation():
    """A warning, which SciPy gives for constant input, is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = describe(torch.rand(8, 16), np.full((8, 16, 3), 9, np.uint8), 3)
    assert math.isnan(found["correlation_with_gradient"])


def test_variance(detector, files, tmp_path, written):
    names = written(plot_variance({"a": detector}, files, str(tmp_path)))
    assert names == {"variance.json", *(f"variance_{stem}.png" for stem in files)}
    found = json.loads((tmp_path / "variance.json").read_text())
    stem = next(iter(files))
    assert list(found[stem]["a"])[:3] == ["stem", "res3", "res3 shortcut"]
    # The filters have not left the blur that they start with.
    for place in found[stem]["a"].values():
        assert place["mean"] == pytest.approx(place["binomial"], rel=1e-4)


def test_model_without_filters(plain_detector, files, tmp_path):
    with pytest.raises(InputError, match="blur: has no adaptive filters"):
        plot_variance({"blur": plain_detector}, files, str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_models_that_share_no_place(models_apart, files, tmp_path):
    with pytest.raises(InputError, match="a: stem, .*; b: other; but a figure needs a place"):
        plot_variance(models_apart, files, str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_names_are_drawn_as_they_are(name):
    maps, images = {"stem": torch.rand(8, 6)}, np.zeros((8, 6, 3), np.uint8)
    assert_drawn(draw_variance({name: images}, {name: maps}), name)
