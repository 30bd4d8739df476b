#!/usr/bin/env python
"""Plots how consistency drops with the shift, for several models and metrics in one figure."""

import argparse
import os

from aa_detectron.consistency.curves import drop_curves
from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.consistency.records import MAIN_METRICS
from aa_detectron.errors import InputError, exit_on_bad_input
from aa_detectron.experiments.figures.curves import plot_drop_curves


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, metavar="FILE", help="PNG file of the figure")
    parser.add_argument(
        "records",
        nargs="+",
        metavar="NAME=FILE",
        help="name of a model in the legend, and its consistency_<kind>_<dataset>.json; a name may "
        "have files of several kinds",
    )
    return parser.parse_args()


def read_curves(argument: str) -> tuple[str, dict[str, list[dict]]]:
    """The name and the {section: curve} of an argument NAME=FILE."""
    name, _, path = argument.partition("=")
    if not path:
        raise InputError(f"{argument}: expected NAME=FILE")
    curves = drop_curves(read_report(path)["pairs"])
    if not curves:
        raise InputError(f"{path}: has no pair that counts for any of {', '.join(MAIN_METRICS)}")
    return name, curves


def main() -> None:
    args = parse_arguments()
    models = {}
    for argument in args.records:
        name, curves = read_curves(argument)
        known = models.setdefault(name, {})
        if known.keys() & curves.keys():
            raise InputError(f"{argument}: {name} has two files of this kind")
        known.update(curves)
    plot_drop_curves(models, args.output)
    print(os.path.relpath(args.output))


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
