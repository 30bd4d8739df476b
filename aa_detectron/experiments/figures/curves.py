"""Drop curves: how consistency drops as the crops of a pair move apart.

:mod:`aa_detectron.consistency.curves` computes the numbers.
"""

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
"""{section: curve}, see :func:`~aa_detectron.consistency.curves.drop_curves`."""


def plot_drop_curves(models: dict[str, Curves], path: str | PathLike) -> None:
    """Writes the figure of :func:`draw_drop_curves` as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    save_figure(path, draw_drop_curves(models))


def draw_drop_curves(models: dict[str, Curves]) -> Figure:
    """Drop curves with the bands of their intervals, a panel for each metric.

    A model has the same color in all panels.

    Args:
        models: curves by the models' names in the legend. Curves read from JSON, in which null
            stands for NaN, are accepted as well.
    """
    sections = [
        section for section in LABELS if any(section in curves for curves in models.values())
    ]
    figure = Figure(figsize=(1 + 5 * len(sections), 4), dpi=150, layout="constrained")
    lines: dict[str, Line2D] = {}
    for section, axes in zip(
        sections, figure.subplots(1, len(sections), squeeze=False)[0], strict=True
    ):
        for number, (name, curves) in enumerate(models.items()):
            if section in curves:
                lines.setdefault(name, _draw_curve(axes, curves[section], color(number)))
        axes.set_xlabel("shift between the crops (pixels)")
        axes.set_ylabel(f"{LABELS[section]} (%)\nband: 95 % interval")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    add_legend(figure, lines)
    return figure


def _draw_curve(axes: Axes, curve: list[dict], shade: tuple[float, float, float]) -> Line2D:
    length, mean, low, high = (
        np.array([point[key] for point in curve], float)  # None becomes NaN
        for key in ("length", "consistency", "low", "high")
    )
    (line,) = axes.plot(length, mean, marker="o", markersize=3, color=shade)
    axes.fill_between(length, low, high, color=shade, alpha=0.2, linewidth=0)
    return line
