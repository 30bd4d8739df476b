#!/usr/bin/env python
"""Time and memory of ResNet-50-FPN without single pieces of the implementation of the filters."""

import argparse
import contextlib
import functools
from collections.abc import Callable
from unittest import mock

import backbone
import train_step
from measuring import compare, parse_arguments, write

from aa_detectron.layers import padded_conv
from aa_detectron.layers.kernels import using_kernels

NOTES = (
    "Milliseconds (median, quartiles; the rows took turns) and peak MiB beyond the network and the "
    "input. 'plain kernels': filters and blurs by plain PyTorch operators. 'padded copies': the "
    "predictors' convolutions save a padded copy of the map for the gradient."
)
WITHOUT: dict[str, Callable] = {
    "complete": contextlib.nullcontext,
    "plain kernels": functools.partial(using_kernels, "plain"),
    "padded copies": functools.partial(
        mock.patch.object, padded_conv, "_saves_memory", lambda *args: False
    ),
}
"""{name of the row: a context manager that removes one piece}."""
KINDS = ("blur", "adaptive")
TASKS = {
    "inference": ("complete", "plain kernels"),
    "training step": ("complete", "plain kernels", "padded copies"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", nargs=2, type=int, default=[480, 640], metavar="SIZE")
    parser.set_defaults(network="backbone", dtype="float32")


def make(task: str, kind: str, without: str, args: argparse.Namespace) -> Callable[[], None]:
    """Function that runs a task with one kind of network, without one piece."""
    if task == "inference":
        args.shape = [1, 3, *args.image]
        run = backbone.make_inference(kind, args)
    else:
        args.shape = [1, *args.image]
        run = train_step.make_step(kind, args)

    def run_without() -> None:
        with WITHOUT[without]():
            run()

    return run_without


def compare_pieces(task: str, kind: str, args: argparse.Namespace) -> list[dict]:
    makers = {name: functools.partial(make, task, kind, name, args) for name in TASKS[task]}
    rows = compare(makers, args)
    for row in rows:
        for name in TASKS[task][1:]:
            del row[f"/ {name}"]
    return [{"network": f"{kind}, {task}"} | row for row in rows]


def main() -> None:
    args = parse_arguments(__doc__, add_options)
    rows = [row for task in TASKS for kind in KINDS for row in compare_pieces(task, kind, args)]
    write(args, "ResNet-50-FPN without single pieces", rows, NOTES)


if __name__ == "__main__":
    main()
