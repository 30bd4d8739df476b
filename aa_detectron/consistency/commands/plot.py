"""``aa-consistency plot``: a figure or table of files of records."""

import argparse
import importlib
from types import ModuleType

from aa_detectron.errors import InputError

from ..exchange.record_curves import curves_of_pairs, curves_of_sweeps, read_reports, write_curves
from ..records import MAIN_METRICS, METRICS

DRAWING = "aa_detectron.experiments.figures.curves"
"""Module that draws. It is an extra, so it is found by name when the command runs."""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "records",
        nargs="+",
        metavar="NAME=FILE",
        help="name of a model in the legend, and its file of records: all of pairs or all of "
        "sweeps; a name may have files with other outputs",
    )
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="a PNG, SVG or PDF; or a CSV of the numbers"
    )
    parser.add_argument(
        "--metric",
        action="append",
        choices=METRICS,
        metavar="METRIC",
        help="panel of a sweep's figure, 'mask mAISC' for example; can be repeated; default: the "
        "main metric of each kind of output",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    reports, are_sweeps = read_reports(args.records)
    if args.metric and not are_sweeps:
        raise InputError("--metric is for sweeps, but these files have pairs")
    metrics = args.metric or list(MAIN_METRICS.values())
    curves = curves_of_sweeps(reports, metrics) if are_sweeps else curves_of_pairs(reports)
    if args.output.lower().endswith(".csv"):
        write_curves(args.output, curves)
    elif are_sweeps:
        strides = {r["stride"] for found in reports.values() for r in found if "stride" in r}
        _drawing().plot_sweeps(curves, metrics, strides, args.output)
    else:
        _drawing().plot_drop_curves(curves, args.output)
    print(f"wrote {args.output}")


def _drawing() -> ModuleType:
    try:
        return importlib.import_module(DRAWING)
    except ImportError as error:
        raise InputError(f"plot: {error}") from None
