"""Curves of several files of records, for a figure or a table: by shift length, or of sweeps.

:mod:`aa_detectron.consistency.curves` and :class:`~aa_detectron.consistency.results.SweepResult`
compute the numbers.
"""

import csv
import os
from collections.abc import Callable, Collection, Sequence

from aa_detectron.errors import InputError
from aa_detectron.utils.files import replacing

from ..curves import drop_curves
from ..records import MAIN_METRICS
from ..results import SweepResult
from .record_files import read_report

Reports = dict[str, list[dict]]
"""Contents of files of records, by the name of the model."""
Curves = dict[str, dict[str, list[dict]]]
"""Points of curves, {model: {section of the records, or metric of a sweep: points}}."""


def read_reports(arguments: Sequence[str]) -> tuple[Reports, bool]:
    """Reads the files of arguments NAME=FILE.

    Args:
        arguments: NAME=FILE for each file; a name may have files with other outputs.

    Returns:
        contents of the files; and whether they are of sweeps, not of pairs.

    Raises:
        InputError: an argument without a name, a file that cannot be used, or pairs beside sweeps.
    """
    reports: Reports = {}
    for argument in arguments:
        name, _, path = argument.partition("=")
        if not path:
            raise InputError(f"{argument}: expected NAME=FILE")
        reports.setdefault(name, []).append(read_report(path) | {"path": path})
    kinds = {report.get("kind") == "sweep" for found in reports.values() for report in found}
    if len(kinds) > 1:
        raise InputError("some files have pairs, others sweeps: use one kind at a time")
    return reports, True in kinds


def curves_of_pairs(reports: Reports) -> Curves:
    """Curves of :func:`~aa_detectron.consistency.curves.drop_curves` for each model.

    Raises:
        InputError: a model without pairs that count, or with two files of one kind of output.
    """
    return {
        name: _merge(name, found, lambda report: drop_curves(report["pairs"]), MAIN_METRICS)
        for name, found in reports.items()
    }


def curves_of_sweeps(reports: Reports, metrics: Sequence[str]) -> Curves:
    """Curves of :func:`~aa_detectron.consistency.results.SweepResult.curve` for each model.

    Args:
        reports: contents of the files.
        metrics: keys of :data:`~aa_detectron.consistency.records.METRICS`.

    Raises:
        InputError: a model that has none of the metrics, or two files with the same metric.
    """
    return {
        name: _merge(name, found, lambda report: _sweep_curves(report, metrics), metrics)
        for name, found in reports.items()
    }


def write_curves(path: str | os.PathLike, curves: Curves) -> None:
    """Writes a CSV: the model, the metric, and the values of each point of its curve.

    Raises:
        InputError: the file cannot be written.
    """
    rows = [
        {"model": model, "metric": MAIN_METRICS.get(metric, metric), **point}
        for model, curves_of in curves.items()
        for metric, points in curves_of.items()
        for point in points
    ]
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _sweep_curves(report: dict, metrics: Sequence[str]) -> dict[str, list[dict]]:
    sweep = SweepResult(report["pairs"])
    counted = sweep.metrics()
    return {metric: sweep.curve(metric) for metric in metrics if metric in counted}


def _merge(
    name: str,
    reports: list[dict],
    read: Callable[[dict], dict[str, list[dict]]],
    wanted: Collection[str],
) -> dict[str, list[dict]]:
    """Curves of all files of a model."""
    merged: dict[str, list[dict]] = {}
    for report in reports:
        curves = read(report)
        if merged.keys() & curves.keys():
            raise InputError(f"{name}={report['path']}: {name} has two files of this kind")
        merged |= curves
    if not merged:
        paths = ", ".join(report["path"] for report in reports)
        raise InputError(f"{paths}: has no pair that counts for any of {', '.join(wanted)}")
    return merged
