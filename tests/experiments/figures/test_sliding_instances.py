import numpy as np
import pytest
from experiments.figures.names import NAMES, assert_drawn
from experiments.figures.windowed import OFFSETS, SEEN, windowed

from aa_detectron.experiments.figures.sliding_instances import draw_counts, follow_instances


@pytest.mark.parametrize("masks", [True, False])
def test_instances_are_followed(masks):
    outputs = [windowed(o, *s, masks=masks) for o, s in zip(OFFSETS, SEEN, strict=True)]
    found = follow_instances(outputs, OFFSETS)
    tracks = [[i["track"] for i in p["instances"]] for p in found["positions"]]
    stays, goes = tracks[0]
    assert tracks[1:3] == [[goes, stays], [stays]]
    assert not set(tracks[3]) & {stays, goes}  # one has shrunk to an IoU of 0.36, one is back
    assert [p["appeared"] for p in found["positions"]] == [[], [], [], [0, 1]]
    assert [p["vanished"] for p in found["positions"]] == [[], [], [0], [0]]
    assert (found["appeared"], found["vanished"]) == (2, 2)
    assert found["consistency"] == pytest.approx(100 * (1 + 0.5 + 0) / 3)


def test_nothing_found_anywhere():
    found = follow_instances([windowed(offset) for offset in OFFSETS], OFFSETS)
    assert (found["appeared"], found["vanished"]) == (0, 0)
    assert np.isnan(found["consistency"])


def test_counts():
    outputs = [windowed(o, *s) for o, s in zip(OFFSETS, SEEN, strict=True)]
    above, below = draw_counts({"a": follow_instances(outputs, OFFSETS)}, OFFSETS).axes
    assert above.lines[0].get_ydata().tolist() == [2, 2, 1, 2]
    assert [bar.get_height() for bar in below.patches] == [0, 0, 0, 2, 0, 0, -1, -1]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_drawn_as_they_are(name):
    found = follow_instances([windowed(offset) for offset in OFFSETS], OFFSETS)
    assert_drawn(draw_counts({name: found}, OFFSETS), f"{name} (appeared 0, vanished 0)")


def test_legend_of_four_models_fits():
    outputs = [windowed(o, *s) for o, s in zip(OFFSETS, SEEN, strict=True)]
    followed = follow_instances(outputs, OFFSETS)
    names = ["plain", "blur", "adaptive", "adaptive, k 5"]
    figure = draw_counts(dict.fromkeys(names, followed), OFFSETS)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 and box.x1 <= figure.bbox.x1
