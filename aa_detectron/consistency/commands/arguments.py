"""Arguments that several commands have in common."""

import argparse
import os
from typing import Any

from ..results import ConsistencyResult
from ..shift_kinds import SHIFT_KINDS
from ..sweep.groups import DIRECTIONS

RECORDS = "consistency.json"
"""Default name of the file of records."""
PAIRS_SHIFT, SWEEP_SHIFT = 32, 64
"""Default of --max-shift for pairs and for sweeps, in pixels."""


def add_source(parser: argparse.ArgumentParser) -> None:
    """Adds the images and the kind of shift."""
    parser.add_argument("images", metavar="FOLDER|COCO_JSON|VIDEO")
    parser.add_argument("--folder", help="of the images of a COCO JSON; default: that of the JSON")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every n-th frame")
    parser.add_argument("--max-shift", type=int, metavar="S", help="default: 32; in a sweep 64")
    parser.add_argument("--shifts", choices=SHIFT_KINDS, default="crop", help="kind of shift")
    parser.add_argument(
        "--steps-per-pixel", type=int, default=4, metavar="M", help="of fractional shifts"
    )
    parser.add_argument("--skip", action="store_true", help="leave out images that cannot be used")


def add_pairs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs-per-image", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)


def add_sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stride", type=int, default=32, help="total stride of the network")
    parser.add_argument("--direction", choices=DIRECTIONS, default="diagonal")


def add_rules(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--score-thresh", type=float, default=0.5)
    parser.add_argument("--any-class", action="store_true", help="match across classes")


def pairs_of(args: argparse.Namespace) -> dict[str, Any]:
    """Options of :class:`~aa_detectron.consistency.crops.PairGroups`."""
    pairs = {"pairs_per_image": args.pairs_per_image, "seed": args.seed}
    return {"max_shift": _shift(args, PAIRS_SHIFT), **pairs, **_kind_of(args)}


def sweep_of(args: argparse.Namespace) -> dict[str, Any]:
    """Options of :class:`~aa_detectron.consistency.sweep.groups.SweepGroups`."""
    line = {"stride": args.stride, "direction": args.direction}
    return {"max_shift": _shift(args, SWEEP_SHIFT), **line, **_kind_of(args)}


def _shift(args: argparse.Namespace, default: int) -> int:
    return default if args.max_shift is None else args.max_shift


def _kind_of(args: argparse.Namespace) -> dict[str, Any]:
    return {"shifts": args.shifts, "steps_per_pixel": args.steps_per_pixel}


def rules_of(args: argparse.Namespace) -> dict[str, Any]:
    """Rules for the comparison of instances."""
    return {"score_thresh": args.score_thresh, "match_class": not args.any_class}


def report(result: ConsistencyResult, path: str | os.PathLike) -> None:
    """Writes the file, then prints the table."""
    result.save(path)
    print(result)
    print(f"wrote {path}")
