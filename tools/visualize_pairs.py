#!/usr/bin/env python
"""Draws shifted pairs of an evaluation, with inconsistent predictions in red."""

import argparse
import os

from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.engine import own_parts
from aa_detectron.engine.launch import load_model
from aa_detectron.errors import InputError, check_from_1, exit_on_bad_input
from aa_detectron.experiments.figures.pairs import check_pairs, choose_records, draw_pairs


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument(
        "--records", required=True, metavar="FILE", help="consistency_<kind>_<name>.json"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument(
        "--num", type=int, default=8, help="number of pictures, from the worst to the best pair"
    )
    own_parts.add_arguments(parser)
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="config options: MODEL.WEIGHTS model_final.pth ..."
    )
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    check_from_1("--num", args.num)
    own_parts.register(args)
    report = read_report(args.records)
    name = report.get("name")
    if not isinstance(name, str):
        raise InputError(f"{args.records}: name is {name!r}, but must be a dataset or a folder")
    chosen = choose_records(report["pairs"], args.num)
    cfg, model = load_model(args.config_file, opts=args.opts)
    try:
        check_pairs(cfg, name, chosen)
    except InputError as error:
        raise InputError(f"{args.records}: {error}") from None
    for path in draw_pairs(cfg, model, name, chosen, args.output):
        print(os.path.relpath(path))


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
