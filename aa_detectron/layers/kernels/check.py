"""The compiled kernels of this machine, compared with plain operators in float64."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from aa_detectron.errors import first_line

from ..blur_pool import blur_pool2d
from ..padding import PADDING_MODES
from .choice import HAS_KERNELS
from .op import compiled_filter
from .reference import filter_plain

SOFTMAX = ("none", "group", "all")
MEMORY_FORMATS = (torch.contiguous_format, torch.channels_last)
PASSES = {
    "filter": ("forward", "gradient of the map", "gradient of the weights"),
    "blur": ("forward", "gradient of the map"),
}
SIZES = ((9, 14), (16, 16), (7, 1), (33, 70))
"""Heights and widths of the maps in pixels."""
SIDES, BLUR_SIDES, STRIDES = (3, 5), (2, 3, 6, 7), (1, 2, 3)
TOLERANCES = {
    torch.float64: 1e-12,
    torch.float32: 2e-5,
    torch.bfloat16: 0.01,
    torch.float16: 0.002,
}
"""{dtype: largest error, relative to the largest value of the reference}."""
DTYPES = {"filter": tuple(TOLERANCES), "blur": (torch.float64, torch.float32)}
SAMPLE = {"cpu": 1, "cuda": 29}
"""{type of a device: every n-th case is checked}; each case on a GPU takes a second to compile."""
LARGE = 2**31
"""Number of elements above which a 32-bit index overflows."""


class Row(NamedTuple):
    """A kernel in one dtype, over all paddings, strides, sizes and memory formats."""

    kernel: str
    device: str
    dtype: str
    cases: int
    error: float
    """Largest relative error."""
    tolerance: float
    failure: str
    """First case with an error above the tolerance, or exception; empty if there is none."""


class Case(NamedTuple):
    """Arguments of a kernel beside the tensors."""

    size: tuple[int, int]
    k: int
    stride: int
    padding_mode: str
    softmax: str
    memory_format: torch.memory_format


def check_kernels() -> Iterator[Row]:
    """Yields a row for each kernel, pass, device and dtype of this machine."""
    for device in ("cpu", "cuda"):
        if device == "cuda" and not torch.cuda.is_available():
            continue
        if HAS_KERNELS[device]:
            for dtype in DTYPES["filter"]:
                yield from _rows("filter", device, dtype, _filter_results)
            if device == "cuda":
                yield from _large_rows(device)
            else:
                for dtype in DTYPES["blur"]:
                    yield from _rows("blur", device, dtype, _blur_results)


Results = Callable[[Case, torch.device, torch.dtype], tuple[list[Tensor], list[Tensor]]]


def _rows(kernel: str, device: str, dtype: torch.dtype, results: Results) -> Iterator[Row]:
    """Compares all passes of a kernel, each in all cases."""
    cases, passes = list(_cases(kernel))[:: SAMPLE[device]], PASSES[kernel]
    largest, failures = [0.0] * len(passes), [""] * len(passes)
    for case in cases:
        try:
            found, expected = results(case, torch.device(device), dtype)
            errors = [_error(*pair) for pair in zip(found, expected, strict=True)]
            reason = str(case)
        except Exception as problem:  # a kernel that cannot be compiled or launched
            errors, reason = [float("inf")] * len(passes), _in_one_line(problem)
        for number, error in enumerate(errors):
            if not error <= TOLERANCES[dtype] and not failures[number]:
                failures[number] = reason
            largest[number] = max(largest[number], error)
    for name, error, failure in zip(passes, largest, failures, strict=True):
        text = str(dtype).removeprefix("torch.")
        yield Row(f"{kernel}, {name}", device, text, len(cases), error, TOLERANCES[dtype], failure)


def _in_one_line(problem: Exception) -> str:
    return f"{type(problem).__name__}: {first_line(problem)[:120]}"


def _cases(kernel: str) -> Iterator[Case]:
    sides, softmax = (SIDES, SOFTMAX) if kernel == "filter" else (BLUR_SIDES, ("none",))
    formats = MEMORY_FORMATS if kernel == "filter" else MEMORY_FORMATS[:1]
    for case in itertools.product(SIZES, sides, STRIDES, PADDING_MODES, softmax, formats):
        yield Case(*case)


def _error(found: Tensor, expected: Tensor) -> float:
    difference = (found.double() - expected.to(found.device)).abs().max()
    error = difference / expected.abs().max().clamp(min=1e-30)
    return float("inf") if error.isnan() else error.item()


def _filter_results(
    case: Case, device: torch.device, dtype: torch.dtype
) -> tuple[list[Tensor], list[Tensor]]:
    """Output and gradients of the filter, from the kernels and from plain operators."""
    groups, sides = 2, [-(-side // case.stride) for side in case.size]
    x = _random((2, 8, *case.size), device, dtype, case.memory_format)
    logits = _random((2, groups * case.k**2, *sides), device, dtype, case.memory_format)
    weights = logits.unflatten(1, (groups, -1))
    args = (x, weights, case.stride, case.padding_mode, case.softmax)
    grad = _random((2, 8, *sides), device, dtype, case.memory_format)
    kernels = compiled_filter(x)
    found = [kernels.forward(*args), kernels.grad_x(grad, *args), kernels.grad_weights(grad, *args)]
    return found, _expected(lambda a, b: filter_plain(a, b, *args[2:]), x, weights, grad)


def _blur_results(
    case: Case, device: torch.device, dtype: torch.dtype
) -> tuple[list[Tensor], list[Tensor]]:
    """Output and gradient of the fixed blur."""
    from .cpu import blur  # importing Numba takes long

    x = _random((2, 8, *case.size), device, dtype, case.memory_format)
    row = torch.arange(1, case.k + 1, device=device, dtype=dtype)  # not symmetric
    row /= row.sum()
    grad = _random(
        (2, 8, *(-(-s // case.stride) for s in case.size)), device, dtype, case.memory_format
    )
    options = (case.stride, case.padding_mode)
    found = [blur.forward(x, row, *options), blur.adjoint(grad, row, *options, x.shape[2:])]
    kernel = torch.outer(row, row).double()

    expected = _expected(lambda a, b: blur_pool2d(a, b, *options), x, kernel, grad)
    return found, expected[:2]


def _expected(
    plain: Callable[[Tensor, Tensor], Tensor], x: Tensor, weights: Tensor, grad: Tensor
) -> list[Tensor]:
    """Output and both gradients of plain operators in float64."""
    inputs = [t.detach().double().requires_grad_() for t in (x, weights)]
    out = plain(*inputs)
    return [out.detach(), *torch.autograd.grad(out, inputs, grad.double())]


def _random(
    shape: tuple[int, ...],
    device: torch.device,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(shape, generator=generator).to(device, dtype)
    return x.to(memory_format=memory_format)


def _large_rows(device: str) -> Iterator[Row]:
    """Checks the forward pass on a map whose last pixels have an index above 2^31.

    Nothing is yielded where the device lacks the memory. The last rows are compared.
    """
    channels, width = 64, 4096
    height = LARGE // (channels * width) + 64
    needed = 2 * channels * height * width * 2
    if torch.cuda.mem_get_info()[0] < needed:
        return
    x = torch.zeros(1, channels, height, width, device=device, dtype=torch.float16)
    x[:, :, -64:] = _random((1, channels, 64, width), x.device, x.dtype, torch.contiguous_format)
    weights = torch.ones(1, 1, 9, 1, 1, device=device, dtype=x.dtype) / 9
    failure, error = "", float("inf")
    try:
        everywhere = weights.expand(-1, -1, -1, height // 2, width // 2)
        found = compiled_filter(x).forward(x, everywhere, 2, "reflect", "none")[:, :, -16:]
        expected = filter_plain(x[:, :, -64:].double(), weights.double(), 2, "reflect", "none")
        error = _error(found, expected[:, :, -16:])
    except Exception as problem:
        failure = _in_one_line(problem)
    tolerance = TOLERANCES[torch.float16]
    if error > tolerance and not failure:
        failure = f"a map of {tuple(x.shape)}"
    yield Row("filter, forward, above 2^31", device, "float16", 1, error, tolerance, failure)
