"""Compiles what a call of the GPU's filter would launch, without a GPU.

Launches are intercepted in Triton itself: its driver is replaced by one that names an architecture,
and a launch ends after the compilation. Tensors on the "meta" device are enough.
"""

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import CompiledKernel
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from aa_detectron.layers.kernels import cuda
from aa_detectron.layers.maps import empty_as, empty_output

WARP = 32
"""Number of threads of a warp."""


@dataclasses.dataclass(frozen=True)
class Launch:
    """A kernel as a call launches it.

    Attributes:
        kernel: compiled kernel.
        grid: number of blocks along up to three axes.
        bytes: size of all tensors that the kernel is given, each counted once.
    """

    kernel: CompiledKernel
    grid: tuple[int, ...]
    bytes: int


class _Driver:
    """Triton's driver for a GPU that is not there."""

    def __init__(self, architecture: int) -> None:
        self.architecture = architecture

    def get_current_device(self) -> int:
        return self.architecture  # Triton keeps the compiled kernels of each device

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.architecture, WARP)


def record(call: Callable[[], Tensor], architecture: int) -> tuple[Tensor, list[Launch]]:
    """Compiles the kernels that a function launches; nothing is run on a GPU.

    Args:
        call: function that launches kernels on tensors of the CPU or the "meta" device.
        architecture: compute capability without its point, for example 90.

    Returns:
        What the function returns, whose values are arbitrary, and the launches in their order.

    Raises:
        RuntimeError: Triton's interpreter is on; it compiles nothing.
    """
    if knobs.runtime.interpret:
        raise RuntimeError("TRITON_INTERPRET is set: it must be unset where kernels are compiled")
    launches: list[Launch] = []
    run = JITFunction.run

    def compile_only(self: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        kernel = run(self, *args, grid=grid, warmup=True, **kwargs)
        if callable(grid):
            grid = grid(dict(zip(self.arg_names, args, strict=False)) | kwargs)
        launches.append(Launch(kernel, tuple(grid), _bytes(*args, *kwargs.values())))
        return kernel

    driver.set_active(_Driver(architecture))
    with mock.patch.object(JITFunction, "run", compile_only):
        result = call()
    return result, launches


def _bytes(*arguments: Any) -> int:
    storages = [a.untyped_storage() for a in arguments if isinstance(a, Tensor)]
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())


def passes(
    shape: tuple[int, int, int, int],
    *,
    groups: int,
    kernel_size: int,
    stride: int,
    padding_mode: str,
    softmax: str,
    dtype: torch.dtype,
    channels_last: bool,
) -> list[Callable[[], Tensor]]:
    """Functions that filter a map of the given shape, and compute the two gradients.

    Args:
        shape: shape of the map, (N, C, H, W).
        groups: number of filters per location, a divisor of C.
        kernel_size: side of the filters, odd.
        stride: stride, at least 1.
        padding_mode: "reflect", "replicate" or "zeros".
        softmax: "none", "group" or "all".
        dtype: dtype of the map, the filters and the gradient.
        channels_last: whether these are channels-last, instead of contiguous.
    """
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.empty(shape, dtype=dtype, device="meta").to(memory_format=memory_format)
    grad = empty_output(x, shape[1], stride)
    weights = empty_as(x, (shape[0], groups, kernel_size**2, *grad.shape[2:]))
    options = (stride, padding_mode, softmax)
    return [
        lambda: cuda.forward(x, weights, *options),
        lambda: cuda.grad_x(grad, x, weights, *options),
        lambda: cuda.grad_weights(grad, x, weights, *options),
    ]
