"""``aa-consistency crops``: shifted crops and their manifest."""

import argparse
from pathlib import Path

from ..crops import PairGroups
from ..exchange.crop_files import write_crops
from ..predictors import check_options
from ..sources.images import open_images
from ..sources.progress import show_progress
from ..sweep.groups import SweepGroups
from .arguments import (
    PAIRS,
    SWEEP,
    add_pairs,
    add_source,
    add_sweep,
    check_shifts,
    given,
    no_effect,
)


def add(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--sweep", action="store_true", help="the crops of a sweep, not of pairs")
    add_pairs(parser)
    add_sweep(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    items = open_images(args.images, args.folder, every=args.every)
    groups = make_groups(args)
    check_options(groups._asdict())
    manifest = write_crops(show_progress(items, True), args.output, groups, strict=not args.skip)
    print(f"wrote {len(manifest.crops)} crops and {Path(args.output, 'manifest.json')}")


def make_groups(args: argparse.Namespace) -> PairGroups | SweepGroups:
    """Groups of pairs, or of a sweep with ``--sweep``.

    Raises:
        InputError: an option of the other kind of groups or of shifts.
    """
    check_shifts(args)
    names, others = (SWEEP, PAIRS) if args.sweep else (PAIRS, SWEEP)
    for name in given(args, sorted(set(others) - set(names))):
        raise no_effect(name, f"{'with' if args.sweep else 'without'} --sweep")
    return SweepGroups(**given(args, names)) if args.sweep else PairGroups(**given(args, names))
