#!/usr/bin/env python
"""Time and memory of inference with ResNet-50-FPN: plain, fixed blur, adaptive filters."""

import argparse
import functools
from collections.abc import Callable

import torch
from measuring import compare, parse_arguments, write
from networks import KINDS, build_fpn

NOTES = (
    "Inference of the backbone alone, no gradients; milliseconds (median, quartiles; the networks "
    "took turns) and peak MiB beyond the network and its input."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shape", nargs=4, type=int, default=[1, 3, 480, 640], metavar="SIZE")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))


def make_inference(kind: str, args: argparse.Namespace) -> Callable[[], None]:
    dtype = getattr(torch, args.dtype)
    network = build_fpn(kind, args.device).eval()
    x = torch.randn(*args.shape, device=args.device)

    @torch.no_grad()
    def infer() -> None:
        with torch.autocast(args.device, dtype, enabled=dtype != torch.float32):
            network(x)

    return infer


def main() -> None:
    args = parse_arguments(__doc__, add_options)
    rows = compare({kind: functools.partial(make_inference, kind, args) for kind in KINDS}, args)
    write(args, f"ResNet-50-FPN, inference, {args.shape}, {args.dtype}", rows, NOTES)


if __name__ == "__main__":
    main()
