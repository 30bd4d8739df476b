"""Trains and compares variants over several seeds; finished steps are kept and not repeated."""

import argparse
import shutil
import signal
import sys
from pathlib import Path

from aa_detectron.engine import own_parts
from aa_detectron.errors import InputError, exit_on_bad_input
from aa_detectron.experiments import require_extra

from .execution import train_missing
from .plan import Plan, plan_of_runs, read_plan

TRAIN = [sys.executable, "-m", "aa_detectron.engine.cli"]
"""Command that trains a run: ``aa-train``."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="A killed run continues from its last checkpoint and ends with the same results.",
    )
    parser.add_argument(
        "comparison",
        nargs="+",
        metavar="FILE or NAME=FOLDER[,FOLDER...]",
        help="YAML file of a comparison, or its name, such as comparisons/nuclei.yaml; or finished "
        "runs, one folder for each seed",
    )
    parser.add_argument(
        "--output", metavar="DIR", help="output folder, replaces the file's; required for runs"
    )
    parser.add_argument(
        "--baselines",
        nargs="+",
        metavar="NAME",
        help="baselines of finished runs (default: the first)",
    )
    parser.add_argument(
        "--results",
        metavar="DIR",
        help="second folder for the tables and the plots of the main metrics, without the runs",
    )
    parser.add_argument("--jobs", type=int, default=1, help="number of runs at a time (default 1)")
    parser.add_argument(
        "--num-gpus", type=int, default=0, help="number of GPUs of each run (default 0: CPU)"
    )
    own_parts.add_arguments(parser)
    return parser.parse_args()


def make_plan(args: argparse.Namespace) -> Plan:
    if "=" in args.comparison[0]:
        if not args.output:
            raise InputError("--output: is required with finished runs")
        return plan_of_runs(args.comparison, args.output, args.baselines)
    if len(args.comparison) > 1:
        raise InputError(f"{args.comparison[1]}: one comparison at a time")
    if args.baselines:
        raise InputError("--baselines: is for finished runs only; a file names its own baselines")
    return read_plan(args.comparison[0], args.output)


def check_requirements() -> None:
    """Checks that the libraries of the results are installed, before any training starts.

    Raises:
        InputError: a library is missing.
    """
    try:
        require_extra("jinja2", "matplotlib", "numba", "skimage")
    except ImportError as error:
        raise InputError(str(error)) from error


def main() -> None:
    """The command ``aa-compare``, and tools/compare.py."""
    with exit_on_bad_input():
        compare(parse_arguments())


def compare(args: argparse.Namespace) -> None:
    if args.jobs < 1 or args.num_gpus < 0:
        raise InputError("--jobs: must be at least 1, --num-gpus 0 or more")
    check_requirements()
    # Both import the extra.
    from .report import write_report
    from .results import as_markdown, collect, provenance, write_tables

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    own_parts.register(args)
    plan = make_plan(args)
    own = own_parts.as_arguments(args)
    train_missing(plan, TRAIN, jobs=args.jobs, num_gpus=args.num_gpus, own=own)
    results = collect(plan)
    report, plots = write_report(plan, results)
    written = [*write_tables(results, plan.output), report]
    if args.results:
        folder = Path(args.results)
        written += write_tables(results, folder)
        written += [Path(shutil.copy(plot, folder)) for plot in plots]
    print(as_markdown(results))
    print(provenance(results))
    print(*written, sep="\n")


if __name__ == "__main__":
    main()
