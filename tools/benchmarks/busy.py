#!/usr/bin/env python
"""Time beside other processes that keep cores busy, relative to the time on a quiet machine."""

import argparse
import contextlib
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Semaphore

import torch
from layer import SHAPES, make_forward
from measuring import measure, parse_arguments, write
from train_step import make_step

LAYERS = ("adaptive", "blur")
NETWORKS = ("plain", "blur", "adaptive", "blurred stem")
NOTES = (
    "Milliseconds (medians; the rows took turns), first on the quiet machine, then beside {} other "
    "processes that multiply matrices. Layers: forward. Networks: a training step of ResNet-50-FPN "
    "on {} x {}. OMP_WAIT_POLICY: {}."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--load", type=int, default=2, metavar="N", help="other processes")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="NxCxHxW")
    parser.add_argument("--image", nargs=2, type=int, default=[320, 416], metavar="SIZE")
    parser.set_defaults(
        kernel_size=3, groups=8, dtype="float32", channels_last=False, network="backbone"
    )


@contextlib.contextmanager
def load(processes: int) -> Iterator[None]:
    """Processes that compute inside the block, as workers of a data loader would."""
    context = multiprocessing.get_context("spawn")
    ready = context.Semaphore(0)
    workers = [context.Process(target=_compute, args=(ready,)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    try:
        yield
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _compute(ready: Semaphore) -> None:
    torch.set_num_threads(1)
    x = torch.randn(256, 256)
    ready.release()
    while True:
        x @ x


def make_functions(args: argparse.Namespace) -> dict[str, Callable]:
    functions = {
        f"{name}, {shape}": make_forward(name, shape, args)
        for shape in args.shapes
        for name in LAYERS
    }
    args.shape = [1, *args.image]
    return functions | {f"{kind}, training step": make_step(kind, args) for kind in NETWORKS}


def main() -> None:
    args = parse_arguments(__doc__, add_options)
    time = functools.partial(
        measure, make_functions(args), repeats=args.repeats, warmup=args.warmup, device=args.device
    )
    quiet = time()
    with load(args.load):
        busy = time()
    rows = [
        {
            "": name,
            "quiet": quiet[name]["median"],
            "busy": busy[name]["median"],
            "busy / quiet": busy[name]["median"] / quiet[name]["median"],
        }
        for name in quiet
    ]
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    title = f"Beside {args.load} busy processes, {args.threads} threads"
    write(args, title, rows, NOTES.format(args.load, *args.image, policy))


if __name__ == "__main__":
    main()
