#!/usr/bin/env python
"""Time and memory of the filters, compared with the published form and other libraries.

timm and kornia are measured if they are installed: pip install ".[benchmarks]".
"""

import argparse
import functools
import importlib.util
from collections.abc import Callable

import torch
from measuring import measure, parse_arguments, peak_memory, write
from published import PublishedAdaptiveBlurPool2d
from torch import Tensor, nn

from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d
from aa_detectron.layers.kernels import filter_map

SHAPES = ["1x64x200x304", "1x128x100x152", "1x256x200x304"]
NOTES = (
    "Milliseconds (median, quartiles; the rows took turns) and peak MiB of a call beyond the input."
    " Forward: eval mode, no gradients. Both: training mode, forward and backward to input and "
    "weights. 'published' is the published form, 'apply' filters with given filters, 'copy' writes "
    "the input into existing memory, 'clone' into new memory. 'of bytes' is a lower limit: time "
    "to move the adaptive layer's bytes at the bandwidth of the copy. 'of sums' is another: the "
    "time of the layer's multiplications at the rate of a large matrix product. 'times ours' and "
    "'times copy' are the medians divided by the median of the adaptive layer and of the copy."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="NxCxHxW")
    parser.add_argument("--kernel-size", type=int, default=3)
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--channels-last", action="store_true")


def layers(args: argparse.Namespace) -> dict[str, Callable[[int], nn.Module]]:
    """Functions from a number of channels to a layer, by name."""
    k, g = args.kernel_size, args.groups
    found = {
        "adaptive": lambda c: AdaptiveBlurPool2d(c, k, groups=g),
        "published": lambda c: PublishedAdaptiveBlurPool2d(c, k, groups=g),
        "blur": lambda c: BlurPool2d(c, k),
    }
    if importlib.util.find_spec("timm"):
        from timm.layers import BlurPool2d as TimmBlurPool2d

        found["timm's blur"] = lambda c: TimmBlurPool2d(c, k)
    if importlib.util.find_spec("kornia"):
        from kornia.filters import BlurPool2D

        found["kornia's blur"] = lambda c: BlurPool2D(k)
    return found


def make_input(shape: str, args: argparse.Namespace) -> Tensor:
    memory_format = torch.channels_last if args.channels_last else torch.contiguous_format
    x = torch.randn(*map(int, shape.split("x")), device=args.device, dtype=_dtype(args))
    return x.to(memory_format=memory_format)


def _dtype(args: argparse.Namespace) -> torch.dtype:
    return getattr(torch, args.dtype)


def make_forward(name: str, shape: str, args: argparse.Namespace) -> Callable:
    x = make_input(shape, args)
    function: Callable
    if name == "apply":
        predictor = AdaptiveBlurPool2d(x.shape[1], args.kernel_size, groups=args.groups)
        predictor.to(args.device, _dtype(args))
        filters = predictor.predict_filters(x).detach().to(x.dtype)
        function = functools.partial(filter_map, x, filters, 2, "reflect")
    elif name == "clone":
        function = x.clone
    elif name == "copy":
        function = functools.partial(torch.empty_like(x).copy_, x)
    else:
        layer = layers(args)[name](x.shape[1]).to(args.device, _dtype(args)).eval()
        function = functools.partial(layer, x)

    @torch.no_grad()
    def forward() -> None:
        function()

    return forward


def make_both(name: str, shape: str, args: argparse.Namespace) -> Callable:
    x = make_input(shape, args).requires_grad_()
    layer = layers(args)[name](x.shape[1]).to(args.device, _dtype(args)).train()
    gradient = torch.randn_like(layer(x))

    def both() -> None:
        for tensor in (x, *layer.parameters()):
            tensor.grad = None
        layer(x).backward(gradient)

    return both


def floors(shape: str, args: argparse.Namespace, copy: float, training: bool) -> dict[str, float]:
    """Lower limits of the time in milliseconds; ``copy`` is the time to copy the input."""
    n, channels, height, width = map(int, shape.split("x"))
    whole, kept = n * channels * height * width, n * channels * -(-height // 2) * -(-width // 2)
    taps = args.kernel_size**2
    moved, products = whole + kept, kept * taps * (args.groups * taps + 1)
    if training:  # the map is read again, gradients are read and written
        moved, products = moved + 2 * whole + kept, 3 * products
    size = 2048
    a, b = (torch.randn(size, size, device=args.device, dtype=_dtype(args)) for _ in range(2))
    matmul = measure({"": lambda: a @ b}, repeats=5, warmup=2, device=args.device)[""]["median"]
    return {
        "of bytes": copy * moved / (2 * whole),
        "of sums": matmul * products / size**3,
    }


def measure_shape(shape: str, args: argparse.Namespace, training: bool) -> list[dict]:
    names = list(layers(args))
    make = make_both if training else make_forward
    if not training:
        names += ["apply", "copy", "clone"]
    options = {"repeats": args.repeats, "warmup": args.warmup, "device": args.device}
    functions = {name: make(name, shape, args) for name in names}
    if training:
        functions["copy"] = make_forward("copy", shape, args)
    times = measure(functions, **options)
    rows = []
    for name in names:
        times[name]["times ours"] = times[name]["median"] / times["adaptive"]["median"]
        times[name]["times copy"] = times[name]["median"] / times["copy"]["median"]
        rows.append({"": name, **times[name]})
        if args.memory:
            rows[-1]["peak MiB"] = peak_memory(make, name, shape, args, device=args.device)
    floor = floors(shape, args, times["copy"]["median"], training)
    rows += [{"": name, "median": time} for name, time in floor.items()]
    head = {"input": shape, "pass": "both" if training else "forward"}
    return [head | row for row in rows]


def main() -> None:
    args = parse_arguments(__doc__, add_options)
    rows = []
    for shape in args.shapes:
        for training in (False, True):
            rows += measure_shape(shape, args, training)
    options = "channels-last" if args.channels_last else "contiguous"
    title = f"Filters, k {args.kernel_size}, g {args.groups}, {args.dtype}, {options}"
    write(args, title, rows, NOTES)


if __name__ == "__main__":
    main()
