"""``aa-consistency plot``: a figure of files of records."""

import argparse
import importlib

from aa_detectron.errors import InputError

from ..records import METRICS

DRAWING = "aa_detectron.experiments.figures.record_plots"
"""Module that draws. It is an extra, so it is found by name when the command runs."""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "records",
        nargs="+",
        metavar="NAME=FILE",
        help="name of a model in the legend, and its file of records: all of pairs or all of "
        "sweeps; a name may have files with other outputs",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="a PNG, SVG or PDF")
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
    try:
        drawing = importlib.import_module(DRAWING)
    except ImportError as error:
        raise InputError(f"plot: {error}") from None
    drawing.plot_files(args.records, args.output, args.metric)
    print(f"wrote {args.output}")
