#!/usr/bin/env python
"""Time and memory of a training step with ResNet-50-FPN: plain, fixed blur and adaptive filters."""

import argparse
import functools
from collections.abc import Callable

import torch
from detectron2.utils.events import EventStorage
from measuring import compare, parse_arguments, write
from networks import KINDS, build_detector, build_fpn, make_inputs
from torch import Tensor, nn

NOTES = (
    "Forward, backward and a step of SGD; milliseconds (median, quartiles; the networks took "
    "turns) and peak MiB beyond the network, its gradients and the input. "
    "The loss of 'backbone' is the sum of its outputs; 'mask_rcnn' is the whole detector on random "
    "images with 8 instances each. FREEZE_AT is Detectron2's default."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", default="backbone", choices=("backbone", "mask_rcnn"))
    parser.add_argument("--shape", nargs=3, type=int, default=[1, 480, 640], metavar="SIZE")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))


def make_loss(kind: str, args: argparse.Namespace) -> tuple[nn.Module, Callable[[], Tensor]]:
    """The network, and a function that computes its loss."""
    images, height, width = args.shape
    if args.network == "mask_rcnn":
        network = build_detector(kind, args.device)
        inputs = make_inputs(images, height, width)

        def loss() -> Tensor:
            with EventStorage():  # where Detectron2's heads write their statistics
                return sum(network(inputs).values())

        return network, loss
    network = build_fpn(kind, args.device)
    x = torch.randn(images, 3, height, width, device=args.device)
    return network, lambda: sum(features.float().mean() for features in network(x).values())


def make_step(kind: str, args: argparse.Namespace) -> Callable[[], None]:
    dtype = getattr(torch, args.dtype)
    network, loss = make_loss(kind, args)
    network.train()
    optimizer = torch.optim.SGD(trainable(network), lr=1e-6, momentum=0.9)

    def step() -> None:
        with torch.autocast(args.device, dtype, enabled=dtype != torch.float32):
            value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def trainable(network: nn.Module) -> list[nn.Parameter]:
    return [p for p in network.parameters() if p.requires_grad]


def main() -> None:
    args = parse_arguments(__doc__, add_options)
    rows = compare({kind: functools.partial(make_step, kind, args) for kind in KINDS}, args)
    write(args, f"{args.network}, ResNet-50-FPN, training step, {args.dtype}", rows, NOTES)


if __name__ == "__main__":
    main()
