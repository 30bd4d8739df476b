"""The figure of drop curves: consistency by shift length."""

import numpy as np
from matplotlib.figure import Figure

from .style import add_legend, colour, save_figure

LABELS = {
    "segm": "mAISC of masks",
    "bbox": "mAISC of boxes",
    "sem_seg": "mASSC",
    "classification": "consistency",
}
"""Of the axes, by the section of the records; in the order of the panels."""


def plot_drop_curves(models: dict[str, dict[str, list[dict]]], path) -> None:
    """Writes the figure of :func:`draw_drop_curves` as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    save_figure(path, draw_drop_curves(models))


def draw_drop_curves(models: dict[str, dict[str, list[dict]]]) -> Figure:
    """Drop curves with the bands of their intervals, a panel for each metric.

    A model has the same color in all panels.

    Args:
        models: by the names for the legend: {section: curve}, see
            :func:`~aa_detectron.consistency.curves.drop_curves`; curves may also have been read
            back from JSON.
    """
    sections = [s for s in LABELS if any(s in curves for curves in models.values())]
    figure = Figure(figsize=(1 + 5 * len(sections), 4), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(sections), squeeze=False)[0]
    for section, axes in zip(sections, panels, strict=True):
        for number, (name, curves) in enumerate(models.items()):
            if section in curves:
                _draw_curve(axes, curves[section], name, colour(number))
        axes.set_xlabel("shift between the crops (pixels)")
        axes.set_ylabel(f"{LABELS[section]} (%)\nband: 95 % interval")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    add_legend(figure)
    return figure


def _draw_curve(axes, curve: list[dict], name: str, color) -> None:
    length, mean, low, high = (
        np.array([point[key] for point in curve], float)  # JSON's null becomes NaN
        for key in ("length", "consistency", "low", "high")
    )
    axes.plot(length, mean, marker="o", markersize=3, label=name, color=color)
    axes.fill_between(length, low, high, color=color, alpha=0.2, linewidth=0)
