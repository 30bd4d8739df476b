#!/usr/bin/env python
"""Draws shifted pairs of an evaluation: detections on both crops, inconsistent ones in red."""

import argparse
import json
import os

from aa_detectron.engine.launch import load_model
from aa_detectron.errors import InputError, exit_on_bad_input
from aa_detectron.experiments.figures.pairs import choose_records, draw_pairs


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument(
        "--records", required=True, metavar="FILE", help="consistency_<kind>_<name>.json"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument("--num", type=int, default=8, help="pictures, from worst to best pair")
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="config options: MODEL.WEIGHTS model_final.pth ..."
    )
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    try:
        with open(args.records) as file:
            report = json.load(file)
        name, pairs = report["name"], report["pairs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{args.records}: holds no consistency records ({error})") from None
    cfg, model = load_model(args.config_file, opts=args.opts)
    for path in draw_pairs(cfg, model, name, choose_records(pairs, args.num), args.output):
        print(os.path.relpath(path))


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
