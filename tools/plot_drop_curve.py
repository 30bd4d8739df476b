#!/usr/bin/env python
"""Plots how consistency drops with the shift, for several models and metrics in one figure."""

import argparse
import os

from aa_detectron.errors import exit_on_bad_input
from aa_detectron.experiments.figures.record_plots import plot_files


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


def main() -> None:
    args = parse_arguments()
    plot_files(args.records, args.output)
    print(os.path.relpath(args.output))


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
