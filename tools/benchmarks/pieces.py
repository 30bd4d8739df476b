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

from aa_detectron.layers import max_pool, padded_conv
from aa_detectron.layers.kernels import filter_plain, op

NOTES = (
    "Milliseconds (median, quartiles; the rows took turns) and peak MiB beyond the network and the "
    "input. 'autograd': the filter in plain operators and their autograd, in place of the operator "
    "with its own gradient. 'padded copies': the predictors' convolutions save a padded copy of "
    "the map for the gradient. 'PyTorch's pool': max pooling of stride 1 by PyTorch."
)

WITHOUT: dict[str, Callable] = {
    "complete": contextlib.nullcontext,
    "autograd": functools.partial(mock.patch.object, op, "_filter_map", filter_plain),
    "padded copies": functools.partial(
        mock.patch.object, padded_conv, "_saves_memory", lambda *args: False
    ),
    "PyTorch's pool": functools.partial(
        mock.patch.object, max_pool, "_is_slow", lambda *args: False
    ),
}
"""{name of the row: a context manager that removes one piece}."""
TASKS = {
    "inference": ("complete", "autograd", "PyTorch's pool"),
    "training step": tuple(WITHOUT),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", nargs=2, type=int, default=[480, 640], metavar="SIZE")
    parser.set_defaults(network="backbone", dtype="float32")


def make(task: str, without: str, args: argparse.Namespace) -> Callable[[], None]:
    """Function that runs a task with adaptive filters, without one piece."""
    if task == "inference":
        args.shape = [1, 3, *args.image]
        run = backbone.make_inference("adaptive", args)
    else:
        args.shape = [1, *args.image]
        run = train_step.make_step("adaptive", args)

    def run_without() -> None:
        with WITHOUT[without]():
            run()

    return run_without


def compare_pieces(task: str, args: argparse.Namespace) -> list[dict]:
    makers: dict[str, Callable] = {
        name: functools.partial(make, task, name, args) for name in TASKS[task]
    }
    rows = compare(makers, args)
    for row in rows:
        for name in TASKS[task][1:]:
            del row[f"/ {name}"]
    return [{"task": task} | row for row in rows]


def main() -> None:
    args = parse_arguments(__doc__, add_options)
    rows = [row for task in TASKS for row in compare_pieces(task, args)]
    write(args, "ResNet-50-FPN with adaptive filters, without single pieces", rows, NOTES)


if __name__ == "__main__":
    main()
