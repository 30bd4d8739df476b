"""Labels beside points that cover neither each other nor the points."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

SIZE, TEXT = 8, "0.15"  # points, of the letters; their gray
ANGLES = np.deg2rad(np.arange(0, 360, 22.5))
STEP, NEAR = 4.0, 14.0  # points; from NEAR on, a line leads from the point to its label
OUTSIDE, COVERED, CROSSED, CROWDED = 1e6, 1e4, 1e3, 8.0
"""Distances in points that a label takes so that it does not leave the axes or cover a point or
another label, its line does not cross them, and it does not cover a crowded box."""

Box = tuple[float, float, float, float]
"""Left, bottom, right and top end, in points."""


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    colors: Sequence[tuple[float, float, float]],
    crowded: Sequence[Box] = (),
) -> list[Annotation]:
    """Writes a name beside each point, one after the other, at the best of many places.

    Labels leave the axes, or cover each other, the points or the lines that lead to other points,
    only if there is no other place.

    Args:
        axes: axes with final limits and layout, in a figure of 72 dpi, where a pixel is a point.
        points: positions of the points, in the units of the axes.
        names: texts, as Matplotlib parses them.
        colors: RGB of the line from each point to its label, 0 to 1.
        crowded: boxes that labels avoid where the way is short.
    """
    anchors = axes.transData.transform(np.reshape(points, (-1, 2)))
    covered = [_around(anchor, (9.0, 9.0)) for anchor in anchors]
    labels = []
    for point, anchor, name, color in zip(points, anchors, names, colors, strict=True):
        label = _write(axes, point, name, color)
        extent = Text.get_window_extent(label)  # without the line
        size = np.array([extent.width + 3, extent.height + 1])
        offset = _best_offset(axes, anchor, size, np.array(covered), np.array(crowded))
        label.xyann = tuple(offset)
        line = _leading_line(anchor, offset, size)
        if label.arrow_patch and not line:
            label.arrow_patch.set_visible(False)
        covered += [_around(anchor + offset, size), *line]
        labels.append(label)
    return labels


def _write(
    axes: Axes, point: tuple[float, float], name: str, color: tuple[float, float, float]
) -> Annotation:
    """A label centered on its point, and its line."""
    line = {"arrowstyle": "-", "color": color, "linewidth": 0.8, "shrinkA": 0.0, "shrinkB": 4.0}
    label = axes.annotate(
        name,
        point,
        (0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        size=SIZE,
        color=TEXT,
        zorder=6,
        arrowprops=line,
        bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},  # above lines
    )
    label.set_in_layout(False)  # a label must not move the axes
    return label


def _around(center: np.ndarray, size: np.ndarray | tuple[float, float]) -> Box:
    left, bottom = center - np.array(size) / 2
    right, top = center + np.array(size) / 2
    return left, bottom, right, top


def _best_offset(
    axes: Axes, anchor: np.ndarray, size: np.ndarray, covered: np.ndarray, crowded: np.ndarray
) -> np.ndarray:
    """The center of the label relative to the point, in points."""
    inside = axes.get_window_extent()
    distances = np.arange(2 * STEP, max(inside.width, inside.height), STEP)
    best, lowest = np.zeros(2), np.inf
    for distance in distances:
        if distance >= lowest:  # the distance alone costs more than the best place
            break
        for angle in ANGLES:
            direction = np.array([np.cos(angle), np.sin(angle)])
            offset = direction * (distance + size / 2)
            box = _around(anchor + offset, size)
            cost = distance + OUTSIDE * (not _is_inside(box, inside))
            cost += CROWDED * _overlaps(box, crowded) + COVERED * _overlaps(box, covered)
            if cost >= lowest:
                continue
            line = _leading_line(anchor, offset, size)
            cost += CROSSED * sum(_overlaps(part, covered) for part in line)
            if cost < lowest:
                best, lowest = offset, cost
    return best


def _is_inside(box: Box, outer: Bbox) -> bool:
    left, bottom, right, top = box
    return left >= outer.x0 and bottom >= outer.y0 and right <= outer.x1 and top <= outer.y1


def _overlaps(box: Box, others: np.ndarray) -> int:
    """How many of the boxes, (N, 4), overlap with ``box``."""
    if not len(others):
        return 0
    left, bottom, right, top = others.T
    apart = (left >= box[2]) | (right <= box[0]) | (bottom >= box[3]) | (top <= box[1])
    return int((~apart).sum())


def _leading_line(anchor: np.ndarray, offset: np.ndarray, size: np.ndarray) -> list[Box]:
    """Small boxes along the line from the point to its label; none if both are close."""
    gap = np.maximum(np.abs(offset) - size / 2, 0)
    length = float(np.hypot(*gap))
    if length < NEAR:
        return []
    # From the mark of the point to the border of the label, on the line between their centers.
    with np.errstate(divide="ignore"):
        border = 1 - float(np.min(size / 2 / np.abs(offset)))
    places = np.linspace(9 / np.hypot(*offset), border, max(2, int(length / 4)), endpoint=False)
    return [_around(anchor + place * offset, (1.0, 1.0)) for place in places]
