"""Labels beside points that cover neither each other nor the points."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

SIZE, DARKER = 8, 0.6  # of the letters: points; a factor, so that light colors are legible
MARK = 9.0  # points, of the side of a square that holds the mark of a point
ANGLES = np.deg2rad(np.arange(0, 360, 22.5))
STEP, NEAR = 4.0, 12.0  # points; from NEAR on, a line leads from the point to its label
OUTSIDE, COVERED, CROSSED, FOREIGN, CROWDED = 1e6, 1e4, 1e3, 40.0, 8.0
"""Distances in points that a label takes so that it does not leave the axes or cover a point or
another label, its line does not cross them, no other point is closer to it than its own, and it
does not cover a crowded box."""

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
        colors: RGB of each point, 0 to 1; texts are darker.
        crowded: boxes that labels avoid where the way is short.
    """
    anchors = axes.transData.transform(np.reshape(points, (-1, 2)))
    covered = [_around(anchor, (MARK, MARK)) for anchor in anchors]
    labels = []
    for point, anchor, name, color in zip(points, anchors, names, colors, strict=True):
        label = _write(axes, point, name, color)
        extent = Text.get_window_extent(label)  # without the line
        size = np.array([extent.width + 3, extent.height + 1])
        offset = _best_offset(axes, anchor, size, anchors, np.array(covered), np.array(crowded))
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
        color=tuple(DARKER * channel for channel in color),
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
    axes: Axes,
    anchor: np.ndarray,
    size: np.ndarray,
    anchors: np.ndarray,
    covered: np.ndarray,
    crowded: np.ndarray,
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
            cost += FOREIGN * _is_foreign(box, anchor, anchors)
            line = _leading_line(anchor, offset, size)
            cost += CROSSED * sum(_overlaps(part, covered) for part in line)
            if cost < lowest:
                best, lowest = offset, cost
    return best


def _is_inside(box: Box, outer: Bbox) -> bool:
    left, bottom, right, top = box
    return left >= outer.x0 and bottom >= outer.y0 and right <= outer.x1 and top <= outer.y1


def _is_foreign(box: Box, anchor: np.ndarray, anchors: np.ndarray) -> bool:
    """Whether another of the points, (N, 2), is closer to the box than its own."""
    return bool(_gaps(box, anchors).min() < _gaps(box, anchor[None])[0])


def _gaps(box: Box, anchors: np.ndarray) -> np.ndarray:
    """Distances of points, (N, 2), to the box."""
    outside = np.maximum(box[:2] - anchors, anchors - box[2:])
    return np.hypot(*np.maximum(outside, 0).T)


def _overlaps(box: Box, others: np.ndarray) -> int:
    """How many of the boxes, (N, 4), overlap with ``box``."""
    if not len(others):
        return 0
    left, bottom, right, top = others.T
    apart = (left >= box[2]) | (right <= box[0]) | (bottom >= box[3]) | (top <= box[1])
    return int((~apart).sum())


def _leading_line(anchor: np.ndarray, offset: np.ndarray, size: np.ndarray) -> list[Box]:
    """Small boxes along the line from the point to its label; none if both are close."""
    length = float(_gaps(_around(anchor + offset, size), anchor[None])[0])
    if length < NEAR:
        return []
    # From the mark of the point to the border of the label, on the line between their centers.
    with np.errstate(divide="ignore"):
        border = 1 - float(np.min(size / 2 / np.abs(offset)))
    places = np.linspace(MARK / np.hypot(*offset), border, max(2, int(length / 4)), endpoint=False)
    return [_around(anchor + place * offset, (1.0, 1.0)) for place in places]
