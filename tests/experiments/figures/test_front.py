"""The figure of a front: its line against brute force, its marks, and its labels."""

import itertools
import math
import warnings

import numpy as np
import pytest
from experiments.figures.names import NAMES, assert_drawn
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation, Text

from aa_detectron.experiments.figures.front import Variant, draw_front
from aa_detectron.experiments.figures.style import color, save_figure

NONE = (math.nan, math.nan)
LABELS = ("mask AP (%)", "mAISC (%)")
CLOSE = [
    "plain", "blur", "blur, k 5", "adaptive", "adaptive, 16 groups", "as published",
    "spatial (1 group)", "softmax over all",
]  # fmt: skip


def variant(name, mean, on=True, half=None, seeds=()):
    low, high = NONE, NONE
    if half:
        low, high = (tuple(m + sign * half for m in mean) for sign in (-1, 1))
    return Variant(name, mean, low, high, seeds or [mean], on)


def close_variants():
    """Means as close to each other as the seeds of one variant."""
    rng = np.random.default_rng(0)
    variants = []
    for name in CLOSE:
        seeds = [(62 + rng.normal(0, 0.5), 71 + rng.normal(0, 0.5)) for _ in range(3)]
        mean = tuple(np.mean(seeds, axis=0).tolist())
        variants.append(variant(name, mean, name == "blur", 0.6, seeds))
    return variants


def texts(figure):
    return [text for text in figure.findobj(Annotation) if text.get_text()]


def marks(figure):
    return [line for line in figure.axes[0].lines if line.get_marker() == "D"]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_line_bounds_what_the_front_reaches():
    means = [(1.0, 5.0), (2.0, 4.0), (4.0, 1.0)]
    figure = draw_front([variant(str(mean), mean) for mean in reversed(means)], LABELS)
    (axes,) = figure.axes
    (line,) = (line for line in axes.lines if len(line.get_xdata()) > 2)
    corners = line.get_xydata()
    assert corners[0].tolist() == [axes.get_xlim()[0], 5] and corners[-1, 1] == axes.get_ylim()[0]
    # From left to right, the height of the line is the best y of all means at or beyond x.
    for x in np.linspace(axes.get_xlim()[0], 4, 50)[:-1]:
        after = next(i for i in range(len(corners)) if corners[i, 0] > x)
        assert corners[after, 1] == max(mean[1] for mean in means if mean[0] >= x)


def test_marks_are_of_the_numbers():
    half_open = variant("b", (2, 1), on=False, half=0.25, seeds=[(1.9, 1), (2.1, 1)])
    figure = draw_front([variant("a", (1, 2), half=0.5), half_open], LABELS)
    first, second = marks(figure)
    assert first.get_xydata().tolist() == [[1, 2]] and second.get_xydata().tolist() == [[2, 1]]
    assert [to_rgb(line.get_color()) for line in (first, second)] == [color(0), color(1)]
    assert to_rgb(first.get_markerfacecolor()) == color(0)
    assert second.get_markerfacecolor() == "white"
    bars = [line.get_xydata().tolist() for line in figure.axes[0].lines if line.get_alpha()]
    assert bars[:2] == [[[0.5, 2], [1.5, 2]], [[1, 1.5], [1, 2.5]]]
    assert bars[2:] == [[[1.75, 1], [2.25, 1]], [[2, 0.75], [2, 1.25]]]
    (dots,) = figure.axes[0].collections
    assert dots.get_offsets().tolist() == [[1.9, 1], [2.1, 1]]
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == LABELS


def test_legend_has_the_marks_that_are_used():
    marked = ["on the front", "off the front"]
    full = draw_front(close_variants(), LABELS)
    assert legend(full) == [
        *(f"mean, {name}" for name in marked), "single seed", "95 % interval", "front"
    ]  # fmt: skip
    single = draw_front([variant("a", (1, 2)), variant("b", (0, 1), on=False)], LABELS)
    assert legend(single) == [*(f"score, {name}" for name in marked), "front"]
    assert legend(draw_front([variant("a", (1, 2))], LABELS)) == ["score, on the front", "front"]


def gap(box, place):
    """Distance of a place to a box, in pixels."""
    return np.hypot(*np.maximum(box.min - place, place - box.max).clip(0))


def test_labels_of_close_points_do_not_overlap():
    figure = draw_front(close_variants(), LABELS)
    figure.draw_without_rendering()
    labels = texts(figure)
    assert sorted(label.get_text() for label in labels) == sorted(CLOSE)
    boxes = [Text.get_window_extent(label) for label in labels]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    inside = figure.axes[0].get_window_extent()
    for line in marks(figure):
        (place,) = figure.axes[0].transData.transform(line.get_xydata())
        assert not any(box.contains(*place) for box in boxes)
    for box in boxes:
        assert inside.contains(*box.min) and inside.contains(*box.max)


def test_labels_are_closest_to_their_own_point():
    figure = draw_front(close_variants(), LABELS)
    figure.draw_without_rendering()
    to_pixels = figure.axes[0].transData.transform
    places = to_pixels(np.concatenate([line.get_xydata() for line in marks(figure)]))
    for label in texts(figure):
        box = Text.get_window_extent(label)
        closest = min(places, key=lambda place: gap(box, place))
        assert closest == pytest.approx(to_pixels(label.xy))


def test_labels_of_equal_points_do_not_overlap():
    """Those that are far from their point have a line to it."""
    figure = draw_front([variant(name, (1, 1)) for name in CLOSE], LABELS)
    figure.draw_without_rendering()
    labels = texts(figure)
    boxes = [Text.get_window_extent(label) for label in labels]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    (place,) = figure.axes[0].transData.transform([(1, 1)])
    for label, box in zip(labels, boxes, strict=True):
        assert gap(box, place) > 4
        if not 11 < gap(box, place) < 14:
            assert label.arrow_patch.get_visible() == (gap(box, place) >= 14)
    assert any(label.arrow_patch.get_visible() for label in labels)


def test_a_long_name_fits():
    figure = draw_front([variant("a long name " * 8, (1, 1)), variant("b", (0, 0))], LABELS)
    figure.draw_without_rendering()
    inside = figure.axes[0].get_window_extent()
    for label in texts(figure):
        box = Text.get_window_extent(label)
        assert inside.contains(*box.min) and inside.contains(*box.max)


def test_a_variant_without_a_number_is_left_out():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        without = variant("b", (math.nan, 1), on=False)
        figure = draw_front([variant("a", (1, 1)), without, variant("c", (2, 0))], LABELS)
        assert [label.get_text() for label in texts(figure)] == ["a", "c"]
        assert [to_rgb(line.get_color()) for line in marks(figure)] == [color(0), color(2)]
        draw_front([without], LABELS).draw_without_rendering()


@pytest.mark.parametrize("name", NAMES)
def test_names_are_drawn_as_they_are(name):
    assert_drawn(draw_front([variant(name, (1, 1))], LABELS), name)


def test_figures_are_the_same_bytes_twice(tmp_path):
    for folder in "ab":
        save_figure(tmp_path / folder / "front.svg", draw_front(close_variants(), LABELS))
    first, second = (tmp_path / folder / "front.svg" for folder in "ab")
    assert first.read_bytes() == second.read_bytes()
