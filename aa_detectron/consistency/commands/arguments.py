"""Arguments that several commands have in common."""

import argparse
import os
from collections.abc import Iterable
from typing import Any

from aa_detectron.errors import InputError

from ..results import ConsistencyResult
from ..shift_kinds import SHIFT_KINDS
from ..sweep.groups import DIRECTIONS

RECORDS = "consistency.json"
"""Default name of the file of records."""
PAIRS = ("max_shift", "pairs_per_image", "seed", "shifts", "steps_per_pixel")
"""Options of :class:`~aa_detectron.consistency.crops.PairGroups`."""
SWEEP = ("max_shift", "stride", "direction", "shifts", "steps_per_pixel")
"""Options of :class:`~aa_detectron.consistency.sweep.groups.SweepGroups`."""


def add_source(parser: argparse.ArgumentParser) -> None:
    """Adds the images and the kind of shift."""
    parser.add_argument("images", metavar="FOLDER|COCO_JSON|VIDEO")
    parser.add_argument("--folder", help="of the images of a COCO JSON; default: that of the JSON")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every n-th frame")
    parser.add_argument("--max-shift", type=int, metavar="S", help="default: 32; in a sweep 64")
    parser.add_argument("--shifts", choices=SHIFT_KINDS, help="kind of shift; default: crop")
    parser.add_argument(
        "--steps-per-pixel", type=int, metavar="M", help="of fractional shifts; default: 4"
    )
    parser.add_argument("--skip", action="store_true", help="leave out images that cannot be used")


def add_pairs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs-per-image", type=int, metavar="N", help="default: 1")
    parser.add_argument("--seed", type=int, help="of the pairs' shifts; default: 0")


def add_sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stride", type=int, help="total stride of the network; default: 32")
    parser.add_argument("--direction", choices=DIRECTIONS, help="default: diagonal")


def add_rules(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--score-thresh", type=float, metavar="T", help="default: 0.5")
    parser.add_argument(
        "--any-class", action="store_true", default=None, help="match across classes"
    )


def given(args: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Those of the options that are on the command line; the others have their defaults."""
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def require(args: argparse.Namespace, name: str, other: str, is_met: bool) -> None:
    """Rejects an option that has no effect without another one.

    Args:
        args: parsed arguments; an option that is not on the command line is None.
        name: attribute of the option.
        other: the other option as the user writes it.
        is_met: whether the other option is on the command line.

    Raises:
        InputError: only the first option is on the command line.
    """
    if not is_met and given(args, [name]):
        raise no_effect(name, f"without {other}")


def no_effect(name: str, how: str) -> InputError:
    """Makes the error for an option without effect.

    Args:
        name: attribute of the option.
        how: which other option is missing or given, such as "without --sweep".
    """
    return InputError(f"--{name.replace('_', '-')} has no effect {how}")


def check_shifts(args: argparse.Namespace) -> None:
    """Checks the options of the kind of shift.

    Raises:
        InputError: an option that has no effect on this kind.
    """
    is_fractional = args.shifts == "fractional"
    require(args, "steps_per_pixel", "--shifts fractional", is_fractional)


def rules_of(args: argparse.Namespace) -> dict[str, Any]:
    """Those of :class:`~aa_detectron.consistency.compare.Rules` that are on the command line."""
    return given(args, ["score_thresh"]) | {"match_class": not args.any_class}


def report(result: ConsistencyResult, path: str | os.PathLike) -> None:
    """Prints the table and writes the file."""
    print(result)
    result.save(path)
    print(f"wrote {path}")
