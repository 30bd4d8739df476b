"""Two metrics of several variants against each other, and the front of the best variants."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .point_labels import Box, label_points
from .style import add_legend, color, literal

WIDTH, HEIGHT = 6.4, 5.2  # inches
ROW = 0.12  # inches, additional height for each variant from the ninth on
LETTER = 0.08  # inches, approximate width
GRAY = "0.4"  # of the legend's marks
FRONT: dict[str, Any] = {"color": "0.8", "linewidth": 3}  # visible below an interval

Pair = tuple[float, float]
"""A number for each axis, x and y."""


class Variant(NamedTuple):
    """A variant's scores of two metrics."""

    name: str
    mean: Pair
    low: Pair
    """Lower ends of the intervals of ``mean``; NaN without an interval."""
    high: Pair
    seeds: Sequence[Pair]
    """Scores of the runs, one for each seed."""
    is_on_front: bool


def draw_front(variants: Sequence[Variant], labels: tuple[str, str]) -> Figure:
    """Draws means with intervals, the seeds, and the front as a step line.

    For every place below and to the left of the line, a variant on the front is at least as good in
    both metrics.

    Args:
        variants: the variants. A variant whose mean has a NaN is left out.
        labels: labels of the x and the y axis.
    """
    shown = {
        number: variant
        for number, variant in enumerate(variants)
        if not any(map(math.isnan, variant.mean))
    }
    height = HEIGHT + ROW * max(0, len(shown) - 8)
    longest = max((len(variant.name) for variant in shown.values()), default=0)
    width = max(WIDTH, 2 + LETTER * longest)
    # At 72 dpi, a pixel is a point, as in an SVG file.
    figure = Figure(figsize=(width, height), dpi=72, layout="constrained")
    axes = figure.subplots()
    for number, variant in shown.items():
        _draw_variant(axes, variant, color(number))
    steps = _steps(axes, [variant.mean for variant in shown.values() if variant.is_on_front])
    axes.plot(*steps.T, zorder=1, **FRONT)
    axes.set_xlabel(literal(labels[0]))
    axes.set_ylabel(literal(labels[1]))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    add_legend(figure, _legend(list(shown.values())))
    figure.draw_without_rendering()  # labels need the final layout
    # The variants on the front choose their places first.
    order = sorted(shown, key=lambda number: not shown[number].is_on_front)
    label_points(
        axes,
        [shown[number].mean for number in order],
        [literal(shown[number].name) for number in order],
        [color(number) for number in order],
        _crowded(axes, list(shown.values()), steps),
    )
    return figure


def _draw_variant(axes: Axes, variant: Variant, shade: tuple[float, float, float]) -> None:
    (x, y), (left, bottom), (right, top) = variant.mean, variant.low, variant.high
    axes.plot([left, right], [y, y], color=shade, linewidth=1, alpha=0.6, zorder=2)
    axes.plot([x, x], [bottom, top], color=shade, linewidth=1, alpha=0.6, zorder=2)
    if len(variant.seeds) > 1:
        xs, ys = np.transpose(variant.seeds)
        axes.scatter(xs, ys, s=7, color=shade, alpha=0.5, zorder=3)
    axes.plot(x, y, color=shade, zorder=5, **_mark(variant.is_on_front))


def _mark(is_on_front: bool) -> dict[str, Any]:
    fill = {} if is_on_front else {"markerfacecolor": "white"}
    return {"marker": "D", "markersize": 6, "linestyle": "none", **fill}


def _steps(axes: Axes, means: list[Pair]) -> np.ndarray:
    """Freezes the limits; returns the front's corners, (N, 2), from the left to the lower end."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    corners: list[Pair] = []
    for x, y in sorted(means):
        corners += [(corners[-1][0] if corners else left, y), (x, y)]
    return np.array([*corners, (corners[-1][0], bottom)] if corners else []).reshape(-1, 2)


def _legend(variants: list[Variant]) -> dict[str, Line2D]:
    """Marks in gray, as far as they are used."""
    several = any(len(variant.seeds) > 1 for variant in variants)
    kind = "mean" if several else "score"
    ends = [end for variant in variants for end in (*variant.low, *variant.high)]
    on_front = [variant.is_on_front for variant in variants]
    marks = {
        f"{kind}, on the front": (any(on_front), _mark(True)),
        f"{kind}, off the front": (not all(on_front), _mark(False)),
        "single seed": (several, {"marker": ".", "markersize": 5, "linestyle": "none"}),
        "95 % interval": (
            not all(map(math.isnan, ends)),
            {"marker": "+", "markersize": 11, "linestyle": "none"},
        ),
        "front": (any(on_front), FRONT),
    }
    used = {name: mark for name, (is_used, mark) in marks.items() if is_used}
    return {name: Line2D([], [], **{"color": GRAY, **mark}) for name, mark in used.items()}


def _crowded(axes: Axes, variants: list[Variant], steps: np.ndarray) -> list[Box]:
    """Boxes of seeds, intervals and the front, in points."""
    lines = [*zip(steps[:-1], steps[1:], strict=True)]
    for variant in variants:
        (x, y), low, high = variant.mean, variant.low, variant.high
        lines += [((low[0], y), (high[0], y)), ((x, low[1]), (x, high[1]))]
        lines += [(seed, seed) for seed in variant.seeds]
    ends = axes.transData.transform(np.reshape(lines, (-1, 2))).reshape(-1, 2, 2)
    ends = ends[~np.isnan(ends).any(axis=(1, 2))]
    boxes = np.hstack([ends.min(axis=1) - 1.5, ends.max(axis=1) + 1.5])
    return [(left, bottom, right, top) for left, bottom, right, top in boxes.tolist()]
