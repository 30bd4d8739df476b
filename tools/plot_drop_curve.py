#!/usr/bin/env python
"""Plots how classification's consistency drops with the shift, several models in one picture."""

import argparse
import json
import os

from aa_detectron.errors import InputError, exit_on_bad_input
from aa_detectron.evaluation.visualize import plot_drop_curve


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, metavar="FILE", help="the picture, PNG")
    parser.add_argument(
        "curves",
        nargs="+",
        metavar="NAME=FILE",
        help="a model's name in the legend, and its consistency_classification_<data set>.json",
    )
    return parser.parse_args()


def read_curve(argument: str) -> tuple[str, list[dict]]:
    name, _, path = argument.partition("=")
    if not path:
        raise InputError(f"{argument}: expected NAME=FILE")
    try:
        with open(path) as file:
            return name, json.load(file)["drop_curve"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: holds no drop curve ({error})") from None


def main() -> None:
    args = parse_arguments()
    plot_drop_curve(dict(map(read_curve, args.curves)), args.output)
    print(os.path.relpath(args.output))


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
