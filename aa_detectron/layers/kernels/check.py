"""The kernels of this machine, compared with plain operators in float64."""

import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from aa_detectron.errors import first_line

from ..padding import PADDING_MODES
from . import in_place
from .choice import HAS_KERNELS
from .op import compiled_filter
from .reference import SOFTMAX, filter_plain

MEMORY_FORMATS = (torch.contiguous_format, torch.channels_last)
PASSES = ("forward", "gradient of the map", "gradient of the weights")
SIZES = ((9, 14), (16, 16), (7, 1), (33, 70))
"""Heights and widths of the maps in pixels."""
SIDES, STRIDES = (3, 5), (1, 2, 3)
TOLERANCES = {
    torch.float64: 1e-12,
    torch.float32: 2e-5,
    torch.bfloat16: 0.01,
    torch.float16: 0.002,
}
"""{dtype: largest error, relative to the largest value of the reference}."""
SAMPLE = {"cpu": 1, "cuda": 29}
"""{type of a device: every n-th case is checked}; each case on a GPU takes a second to compile."""
LARGE = 2**31
"""Number of elements above which a 32-bit index overflows."""


class Row(NamedTuple):
    """A pass of the filter in one dtype, over all paddings, strides, sizes and memory formats."""

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
    """Yields a row for each pass, device and dtype of this machine."""
    for dtype in TOLERANCES:
        yield from _rows(in_place, "cpu", dtype)
    if torch.cuda.is_available() and HAS_KERNELS["cuda"]:
        for dtype in TOLERANCES:
            yield from _rows(compiled_filter(), "cuda", dtype)
        yield from _large_rows(compiled_filter())


def _rows(kernels: ModuleType, device: str, dtype: torch.dtype) -> Iterator[Row]:
    """Compares all passes, each in all cases."""
    cases = list(_cases())[:: SAMPLE[device]]
    largest, failures = [0.0] * len(PASSES), [""] * len(PASSES)
    for case in cases:
        try:
            pairs = _results(kernels, case, torch.device(device), dtype)
            errors = [_error(*pair) for pair in pairs]
            reason = str(case)
        except Exception as problem:  # a kernel that cannot be compiled or launched
            errors, reason = [float("inf")] * len(PASSES), _in_one_line(problem)
        for number, error in enumerate(errors):
            if not error <= TOLERANCES[dtype] and not failures[number]:
                failures[number] = reason
            largest[number] = max(largest[number], error)
    for name, error, failure in zip(PASSES, largest, failures, strict=True):
        text = str(dtype).removeprefix("torch.")
        yield Row(f"filter, {name}", device, text, len(cases), error, TOLERANCES[dtype], failure)


def _in_one_line(problem: Exception) -> str:
    return f"{type(problem).__name__}: {first_line(problem)[:120]}"


def _cases() -> Iterator[Case]:
    options = (SIZES, SIDES, STRIDES, PADDING_MODES, SOFTMAX, MEMORY_FORMATS)
    for case in itertools.product(*options):
        yield Case(*case)


def _error(found: Tensor, expected: Tensor) -> float:
    difference = (found.double() - expected.to(found.device)).abs().max()
    error = difference / expected.abs().max().clamp(min=1e-30)
    return float("inf") if error.isnan() else error.item()


def _results(
    kernels: ModuleType, case: Case, device: torch.device, dtype: torch.dtype
) -> list[tuple[Tensor, Tensor]]:
    """(found, expected) of the output and of both gradients."""
    groups, sides = 2, [-(-side // case.stride) for side in case.size]
    x = _random((2, 8, *case.size), device, dtype, case.memory_format)
    logits = _random((2, groups * case.k**2, *sides), device, dtype, case.memory_format)
    weights = logits.unflatten(1, (groups, -1))
    args = (x, weights, case.stride, case.padding_mode, case.softmax)
    grad = _random((2, 8, *sides), device, dtype, case.memory_format)
    found = [kernels.forward(*args), kernels.grad_x(grad, *args), kernels.grad_weights(grad, *args)]
    a, b = (t.double().requires_grad_() for t in (x, weights))
    out = filter_plain(a, b, *args[2:])
    expected = [out.detach(), *torch.autograd.grad(out, (a, b), grad.double())]
    return list(zip(found, expected, strict=True))


def _random(
    shape: tuple[int, ...],
    device: torch.device,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(shape, generator=generator).to(device, dtype)
    return x.to(memory_format=memory_format)


def _large_rows(kernels: ModuleType, device: str = "cuda") -> Iterator[Row]:
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
        found = kernels.forward(x, everywhere, 2, "reflect", "none")[:, :, -16:]
        expected = filter_plain(x[:, :, -64:].double(), weights.double(), 2, "reflect", "none")
        error = _error(found, expected[:, :, -16:])
    except Exception as problem:
        failure = _in_one_line(problem)
    tolerance = TOLERANCES[torch.float16]
    if error > tolerance and not failure:
        failure = f"a map of {tuple(x.shape)}"
    yield Row("filter, forward, above 2^31", device, "float16", 1, error, tolerance, failure)
