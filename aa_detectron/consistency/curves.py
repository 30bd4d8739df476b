"""Consistency by shift length: how it drops as the crops move apart."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from aa_detectron.experiments.figures.style import add_legend, colour, save_figure

from .classes import consistent
from .instances import THRESHOLDS, consistent_share
from .label_maps import equal_share
from .records import score_shares, shift_length


class Metric(NamedTuple):
    """What is averaged over pairs."""

    label: str
    share: Callable[[dict], float | None]
    """Of a record with the section, 0 to 1; None where the pair does not count."""


def _instances(task: str, label: str) -> Metric:
    def share(record: dict) -> float | None:
        first = record[task]["first"]
        return consistent_share(first, THRESHOLDS["mAISC"]) if first else None

    return Metric(label, share)


METRICS = {
    "segm": _instances("segm", "mAISC of masks"),
    "bbox": _instances("bbox", "mAISC of boxes"),
    "sem_seg": Metric("mASSC", equal_share),
    "classification": Metric("consistency", consistent),
}
"""By the section of a record, see :mod:`~aa_detectron.consistency.records`."""


def drop_curve(records: list[dict], task: str, width: float = 4) -> list[dict]:
    """A metric by shift length.

    Args:
        records: of the pairs.
        task: one of :data:`METRICS`. Records without that section do not count.
        width: of the ranges of shift length, in pixels. The first is above 0 and up to ``width``.

    Returns:
        for each range that has pairs, in order, {"from" (excluded), "to", "length": mean of its
        pairs, all three in pixels; "consistency": the metric, "low", "high", in percent; "pairs"}.
    """
    share = METRICS[task].share
    ranges = {}
    for record in records:
        if task in record and share(record) is not None:
            ranges.setdefault(math.ceil(shift_length(record) / width), []).append(record)
    return [
        {"from": (number - 1) * width, "to": number * width} | _point(ranges[number], share)
        for number in sorted(ranges)
    ]


def _point(records: list[dict], share: Callable[[dict], float | None]) -> dict[str, float]:
    scores = score_shares("consistency", records, share)
    length = math.fsum(map(shift_length, records)) / len(records)
    return {"length": length} | {k: scores[k] for k in ("consistency", "low", "high", "pairs")}


def drop_curves(records: list[dict]) -> dict[str, list[dict]]:
    """:func:`drop_curve` for every task that the records have, {task: curve}."""
    curves = {task: drop_curve(records, task) for task in METRICS}
    return {task: curve for task, curve in curves.items() if curve}


def plot_drop_curves(models: dict[str, dict[str, list[dict]]], path) -> None:
    """Writes the figure of :func:`draw_drop_curves` as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    save_figure(path, draw_drop_curves(models))


def draw_drop_curves(models: dict[str, dict[str, list[dict]]]) -> Figure:
    """Drop curves with the bands of their intervals, a panel for each metric.

    A model has the same colour in all panels.

    Args:
        models: by the names for the legend: {task: curve}, see :func:`drop_curves`; curves may
            also have been read back from JSON.
    """
    tasks = [task for task in METRICS if any(task in curves for curves in models.values())]
    figure = Figure(figsize=(1 + 5 * len(tasks), 4), dpi=150, layout="constrained")
    for task, axes in zip(tasks, figure.subplots(1, len(tasks), squeeze=False)[0], strict=True):
        for number, (name, curves) in enumerate(models.items()):
            if task in curves:
                _draw_curve(axes, curves[task], name, colour(number))
        axes.set_xlabel("shift between the crops (pixels)")
        axes.set_ylabel(f"{METRICS[task].label} (%)\nband: 95 % interval")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    add_legend(figure)
    return figure


def _draw_curve(axes, curve: list[dict], name: str, colour) -> None:
    length, share, low, high = (
        np.array([point[key] for point in curve], float)  # JSON's null becomes NaN
        for key in ("length", "consistency", "low", "high")
    )
    axes.plot(length, share, marker="o", markersize=3, label=name, color=colour)
    axes.fill_between(length, low, high, color=colour, alpha=0.2, linewidth=0)
