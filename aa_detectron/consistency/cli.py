"""Measures the consistency of any model under shifts of its input.

crops, score: for a system in any language. "crops" writes shifted crops and a manifest; the system
predicts on them; "score" reads its predictions.
run, sweep: for a Python function that takes a list of (H, W, 3) uint8 RGB arrays and returns as
many predictions.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from aa_detectron.errors import InputError, exit_on_bad_input
from aa_detectron.utils.user_code import import_code

from .crops import PairGroups, Predict
from .exchange.crop_files import write_crops
from .exchange.prediction_files import class_file, instances_file, label_folder
from .exchange.scoring import score_predictions
from .predictors import evaluate_consistency
from .results import ConsistencyResult
from .sources.images import open_images
from .sources.progress import show_progress
from .sweep.evaluate import evaluate_sweep
from .sweep.groups import DIRECTIONS, SweepGroups

RECORDS = "consistency.json"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aa-consistency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_crops(commands.add_parser("crops", help="write crops and their manifest"))
    _add_score(commands.add_parser("score", help="score predictions on these crops"))
    for name, help_text in (("run", "random pairs"), ("sweep", "every shift")):
        _add_model(commands.add_parser(name, help=f"measure a Python function: {help_text}"), name)
    return parser


def _add_crops(parser: argparse.ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--sweep", action="store_true", help="the crops of a sweep, not of pairs")
    _add_pairs(parser)
    _add_sweep(parser)
    parser.set_defaults(run=crops)


def _add_score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", metavar="DIR/manifest.json")
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--instances", metavar="results.json", help="COCO results, by ids of crops")
    kinds.add_argument("--label-maps", metavar="FOLDER", help="PNG files, named as the crops")
    kinds.add_argument("--classes", metavar="file.csv", help="columns file_name, class(, score)")
    parser.add_argument("--output", metavar="FILE", help=f"default: {RECORDS} by the manifest")
    parser.add_argument("--truth", metavar="JSON", help="a COCO JSON of the images, with objects")
    _add_rules(parser)
    parser.set_defaults(run=score)


def _add_model(parser: argparse.ArgumentParser, name: str) -> None:
    _add_source(parser)
    parser.add_argument("--model", required=True, metavar="MODULE_OR_FILE:FUNCTION")
    parser.add_argument("--output", metavar="FILE", default=RECORDS, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=1, help="crops in a call")
    parser.add_argument("--truth", action="store_true", help="read the objects of the COCO JSON")
    (_add_pairs if name == "run" else _add_sweep)(parser)
    _add_rules(parser)
    parser.set_defaults(run=run if name == "run" else sweep)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", metavar="FOLDER|COCO_JSON|VIDEO")
    parser.add_argument("--folder", help="of the images of a COCO JSON; default: that of the JSON")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every n-th frame")
    parser.add_argument("--max-shift", type=int, metavar="S", help="default: 32; in a sweep 64")
    parser.add_argument("--skip", action="store_true", help="leave out images that cannot be used")


def _add_pairs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs-per-image", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)


def _add_sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stride", type=int, default=32, help="total stride of the network")
    parser.add_argument("--direction", choices=DIRECTIONS, default="diagonal")


def _add_rules(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--score-thresh", type=float, default=0.5)
    parser.add_argument("--any-class", action="store_true", help="match across classes")


def crops(args: argparse.Namespace) -> None:
    items = open_images(args.images, args.folder, every=args.every)
    pairs = PairGroups(args.max_shift or 32, args.pairs_per_image, args.seed)
    swept = SweepGroups(args.max_shift or 64, args.stride, args.direction)
    options = swept if args.sweep else pairs
    for name in set(options._fields) - {"seed", "direction"}:
        if getattr(options, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} must be at least 1")
    manifest = write_crops(show_progress(items, True), args.output, options, strict=not args.skip)
    print(f"wrote {len(manifest.crops)} crops and {Path(args.output, 'manifest.json')}")


def score(args: argparse.Namespace) -> None:
    kinds = (args.instances, instances_file), (args.label_maps, label_folder)
    path, reader = next(((p, r) for p, r in kinds if p), (args.classes, class_file))
    items = open_images(args.truth, truth=True) if args.truth else ()
    truth = {str(item.image_id): item.truth for item in items}
    result = score_predictions(args.manifest, reader(path), **rules_of(args), truth=truth)
    report(result, args.output or Path(args.manifest).with_name(RECORDS))


def run(args: argparse.Namespace) -> None:
    pairs = {"pairs_per_image": args.pairs_per_image, "seed": args.seed}
    options = {"max_shift": args.max_shift or 32, **pairs, **options_of(args)}
    result = evaluate_consistency(find_function(args.model), args.images, **options)
    report(result, args.output)


def sweep(args: argparse.Namespace) -> None:
    line = {"stride": args.stride, "direction": args.direction}
    options = {"max_shift": args.max_shift or 64, **line, **options_of(args)}
    report(evaluate_sweep(find_function(args.model), args.images, **options), args.output)


def rules_of(args: argparse.Namespace) -> dict:
    return {"score_thresh": args.score_thresh, "match_class": not args.any_class}


def options_of(args: argparse.Namespace) -> dict:
    """Options that pairs and sweeps have in common."""
    source = {"folder": args.folder, "every": args.every, "truth": args.truth}
    return {"batch_size": args.batch_size, "strict": not args.skip, **rules_of(args), **source}


def report(result: ConsistencyResult, path: str | os.PathLike) -> None:
    """Writes the file, then prints the table."""
    result.save(path)
    print(result)
    print(f"wrote {path}")


def find_function(name: str) -> Predict:
    """Finds MODULE:FUNCTION or FILE.py:FUNCTION, see :func:`~.user_code.import_code`.

    Raises:
        InputError: a function that does not exist.
    """
    module_name, _, function_name = name.rpartition(":")
    if not module_name or not function_name:
        raise InputError(f"--model is {name!r}, but must be MODULE:FUNCTION or FILE.py:FUNCTION")
    module = import_code(module_name, f"--model {name}")
    function: Callable | None = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(f"--model {name}: {module_name} has no function {function_name}")
    return function


def main() -> None:
    """Runs ``aa-consistency``, which is also ``python -m aa_detectron.consistency``."""
    args = build_parser().parse_args()
    with exit_on_bad_input():
        args.run(args)


if __name__ == "__main__":
    main()
