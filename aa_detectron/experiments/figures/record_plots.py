"""Figures of files of records: drop curves of pairs, or curves of sweeps.

:mod:`aa_detectron.consistency.curves` and :mod:`aa_detectron.consistency.sweep.scores` compute the
numbers.
"""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aa_detectron.consistency.curves import drop_curves
from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.consistency.records import MAIN_METRICS, METRICS
from aa_detectron.consistency.sweep.scores import sweep_curve
from aa_detectron.errors import InputError

from .curves import draw_drop_curves
from .style import add_legend, color, save_figure

Reports = dict[str, list[dict]]
"""Contents of files of records, by the name of the model in the legend."""


def plot_files(
    arguments: Sequence[str], path: str | PathLike, metrics: Sequence[str] | None = None
) -> None:
    """Writes the figure of files of records.

    Args:
        arguments: NAME=FILE for each file; a name may have files with other outputs.
        path: PNG, SVG or PDF, by its suffix.
        metrics: panels of a figure of sweeps; None for the main metrics.

    Raises:
        InputError: an argument or a file that cannot be used; pairs and sweeps in one figure.
    """
    reports = read_reports(arguments)
    kinds = {report.get("kind") == "sweep" for found in reports.values() for report in found}
    if len(kinds) > 1:
        raise InputError("some files have pairs, others sweeps: plot them in two figures")
    figure = draw_sweeps(reports, metrics) if kinds == {True} else draw_drops(reports, metrics)
    save_figure(path, figure)


def read_reports(arguments: Sequence[str]) -> Reports:
    """Reads the files of arguments NAME=FILE.

    Raises:
        InputError: an argument without a name, or a file that cannot be used.
    """
    reports: Reports = {}
    for argument in arguments:
        name, _, path = argument.partition("=")
        if not path:
            raise InputError(f"{argument}: expected NAME=FILE")
        reports.setdefault(name, []).append(read_report(path) | {"path": path})
    return reports


def draw_drops(reports: Reports, metrics: Sequence[str] | None = None) -> Figure:
    """Draws drop curves, see :func:`.curves.draw_drop_curves`.

    Raises:
        InputError: a model without pairs that count, two files of a model with the same kind of
            output, or chosen metrics, which only sweeps have.
    """
    if metrics:
        raise InputError("--metric is for sweeps, but these files have pairs")
    models = {
        name: _merge(name, reports_of, lambda report: drop_curves(report["pairs"]), MAIN_METRICS)
        for name, reports_of in reports.items()
    }
    return draw_drop_curves(models)


def draw_sweeps(reports: Reports, metrics: Sequence[str] | None = None) -> Figure:
    """Draws the curves of sweeps with the bands of their intervals, a panel for each metric.

    A model has the same color in all panels. Dotted lines mark the multiples of the stride.

    Args:
        reports: contents of the files.
        metrics: keys of :data:`~aa_detectron.consistency.records.METRICS`; None for the main
            metrics that any file has.

    Raises:
        InputError: a model has none of the metrics, or two files with the same metric.
    """
    wanted = list(metrics or MAIN_METRICS.values())
    models = {
        name: _merge(name, found, lambda report: _sweep_curves(report, wanted), wanted)
        for name, found in reports.items()
    }
    panels = [metric for metric in wanted if any(metric in found for found in models.values())]
    figure = Figure(figsize=(1 + 5 * len(panels), 4), dpi=150, layout="constrained")
    lines: dict[str, Line2D] = {}
    for metric, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        for number, (name, curves) in enumerate(models.items()):
            if metric in curves:
                lines.setdefault(name, _draw(axes, curves[metric], color(number)))
        _label(axes, metric)
        strides = {r["stride"] for found in reports.values() for r in found if "stride" in r}
        _mark_strides(axes, strides)
    add_legend(figure, lines)
    return figure


def _sweep_curves(report: dict, metrics: Sequence[str]) -> dict[str, list[dict]]:
    curves = {}
    for metric in metrics:
        section, fraction = METRICS[metric]
        records = [record for record in report["pairs"] if section in record]
        if any(fraction(record) is not None for record in records):
            curves[metric] = sweep_curve(records, metric)
    return curves


def _merge(
    name: str,
    reports: list[dict],
    read: Callable[[dict], dict[str, Any]],
    wanted: Sequence[str] | dict,
) -> dict[str, Any]:
    """Curves of all files of a model."""
    merged: dict[str, Any] = {}
    for report in reports:
        curves = read(report)
        if merged.keys() & curves.keys():
            raise InputError(f"{name}={report['path']}: {name} has two files of this kind")
        merged |= curves
    if not merged:
        paths = ", ".join(report["path"] for report in reports)
        raise InputError(f"{paths}: has no pair that counts for any of {', '.join(wanted)}")
    return merged


def _draw(axes: Axes, curve: list[dict], shade: tuple[float, float, float]) -> Line2D:
    shifts, values, low, high = (
        [point[key] for point in curve] for key in ("shift", "value", "low", "high")
    )
    (line,) = axes.plot(shifts, values, marker="o", markersize=2, linewidth=1, color=shade)
    axes.fill_between(shifts, low, high, color=shade, alpha=0.2, linewidth=0)
    return line


def _label(axes: Axes, metric: str) -> None:
    axes.set_xlabel("shift (pixels)")
    axes.set_ylabel(f"{metric} (%)\nband: 95 % interval")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)


def _mark_strides(axes: Axes, strides: set[int]) -> None:
    """Dotted lines at the multiples of the stride, if all models have the same."""
    if len(strides) == 1:
        (stride,) = strides
        for shift in range(stride, int(axes.get_xlim()[1]) + 1, stride):
            axes.axvline(shift, color="gray", linestyle=":", linewidth=1)
