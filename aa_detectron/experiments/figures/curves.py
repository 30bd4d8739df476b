"""Curves of consistency by shift: drop curves of pairs, and curves of sweeps.

:mod:`aa_detectron.consistency.curves` and :mod:`aa_detectron.consistency.sweep.scores` compute the
numbers.
"""

from collections.abc import Sequence
from os import PathLike

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .style import add_legend, color, save_figure

LABELS = {
    "segm": "mAISC of masks",
    "bbox": "mAISC of boxes",
    "sem_seg": "mASSC",
    "classification": "consistency",
}
"""Labels of the axes by the section of a record, in the order of the panels."""

Curves = dict[str, list[dict]]
"""{section: curve} as from :func:`~aa_detectron.consistency.curves.drop_curves`, or {metric: curve}
as from :func:`~aa_detectron.consistency.sweep.scores.sweep_curve`."""


def plot_drop_curves(models: dict[str, Curves], path: str | PathLike) -> None:
    """Writes the figure of :func:`draw_drop_curves`, as PNG, SVG or PDF by its suffix.

    Raises:
        InputError: the file cannot be written.
    """
    save_figure(path, draw_drop_curves(models))


def plot_sweeps(
    models: dict[str, Curves], metrics: Sequence[str], strides: set[int], path: str | PathLike
) -> None:
    """Writes the figure of :func:`draw_sweeps`, as PNG, SVG or PDF by its suffix.

    Raises:
        InputError: the file cannot be written.
    """
    save_figure(path, draw_sweeps(models, metrics, strides))


def draw_drop_curves(models: dict[str, Curves]) -> Figure:
    """Drop curves with the bands of their intervals, a panel for each section.

    A model has the same color in all panels.

    Args:
        models: curves by the models' names in the legend. Curves read from JSON, in which null
            stands for NaN, are accepted as well.
    """
    names = {section: f"{label} (%)" for section, label in LABELS.items()}
    figure = _draw_panels(models, names, ("length", "consistency"), markersize=3)
    for axes in figure.axes:
        axes.set_xlabel("shift between the crops (pixels)")
    return figure


def draw_sweeps(models: dict[str, Curves], metrics: Sequence[str], strides: set[int]) -> Figure:
    """Curves of sweeps with the bands of their intervals, a panel for each metric.

    A model has the same color in all panels. Dotted lines mark the multiples of the stride.

    Args:
        models: curves by the models' names in the legend.
        metrics: panels, in order; a metric that no model has gets none.
        strides: strides of the sweeps in pixels; marked if all have the same.
    """
    names = {metric: f"{metric} (%)" for metric in metrics}
    figure = _draw_panels(models, names, ("shift", "value"), markersize=2)
    for axes in figure.axes:
        axes.set_xlabel("shift (pixels)")
        _mark_strides(axes, strides)
    return figure


def _draw_panels(
    models: dict[str, Curves], names: dict[str, str], keys: tuple[str, str], markersize: int
) -> Figure:
    """A panel for each of the named curves that any model has, with one legend."""
    panels = [key for key in names if any(key in curves for curves in models.values())]
    figure = Figure(figsize=(1 + 5 * len(panels), 4), dpi=150, layout="constrained")
    lines: dict[str, Line2D] = {}
    for panel, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        for number, (name, curves) in enumerate(models.items()):
            if panel in curves:
                line = _draw_curve(axes, curves[panel], keys, color(number), markersize)
                lines.setdefault(name, line)
        axes.set_ylabel(f"{names[panel]}\nband: 95 % interval")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    add_legend(figure, lines)
    return figure


def _draw_curve(
    axes: Axes,
    curve: list[dict],
    keys: tuple[str, str],
    shade: tuple[float, float, float],
    markersize: int,
) -> Line2D:
    shift, mean, low, high = (
        np.array([point[key] for point in curve], float)  # None becomes NaN
        for key in (*keys, "low", "high")
    )
    (line,) = axes.plot(shift, mean, "o-", markersize=markersize, linewidth=1, color=shade)
    axes.fill_between(shift, low, high, color=shade, alpha=0.2, linewidth=0)
    return line


def _mark_strides(axes: Axes, strides: set[int]) -> None:
    """Dotted lines at the multiples of the stride, if all models have the same."""
    if len(strides) == 1:
        (stride,) = strides
        for shift in range(stride, int(axes.get_xlim()[1]) + 1, stride):
            axes.axvline(shift, color="gray", linestyle=":", linewidth=1)
