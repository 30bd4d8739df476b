"""``aa-consistency run`` and ``sweep``: the consistency of a Python function."""

import argparse
from collections.abc import Callable

from aa_detectron.errors import InputError
from aa_detectron.utils.files import check_can_be_written
from aa_detectron.utils.user_code import import_code

from ..crops import Predict
from ..predictors import evaluate_consistency
from ..sweep.evaluate import evaluate_sweep
from .arguments import (
    PAIRS,
    RECORDS,
    SWEEP,
    add_pairs,
    add_rules,
    add_source,
    add_sweep,
    check_shifts,
    given,
    report,
    require,
    rules_of,
)


def add_run(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    add_pairs(parser)
    parser.set_defaults(run=run)


def _add_model(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument("--model", required=True, metavar="MODULE_OR_FILE:FUNCTION")
    parser.add_argument("--output", metavar="FILE", default=RECORDS, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=1, help="crops in a call")
    parser.add_argument(
        "--truth",
        action="store_true",
        help="read the objects of the COCO JSON",
    )
    parser.add_argument(
        "--category-ids",
        type=int,
        nargs="+",
        metavar="ID",
        help="category id of each class of the model in the JSON; default: classes are these ids",
    )
    add_rules(parser)


def add_sweep_of_model(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    add_sweep(parser)
    parser.set_defaults(run=sweep)


def run(args: argparse.Namespace) -> None:
    check_can_be_written(args.output)
    options = {**given(args, PAIRS), **_options_of(args)}
    report(evaluate_consistency(find_function(args.model), args.images, **options), args.output)


def sweep(args: argparse.Namespace) -> None:
    check_can_be_written(args.output)
    options = {**given(args, SWEEP), **_options_of(args)}
    report(evaluate_sweep(find_function(args.model), args.images, **options), args.output)


def _options_of(args: argparse.Namespace) -> dict:
    """Options that pairs and sweeps have in common.

    Raises:
        InputError: an option that has no effect without another one.
    """
    check_shifts(args)
    require(args, "category_ids", "--truth", args.truth)
    source = {name: getattr(args, name) for name in ("folder", "every", "truth", "category_ids")}
    return {"batch_size": args.batch_size, "strict": not args.skip, **rules_of(args), **source}


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
