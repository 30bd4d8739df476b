"""Filters on the input or output of a module, without a change of any name.

A filter is a submodule of its host, and a hook applies it. The hooks are plain functions, so that a
model can be copied and pickled.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

OUTPUT, INPUT = "aa", "aa_input"
"""Names of a filter in its host."""


def filter_output(host: nn.Module, lowpass: nn.Module) -> None:
    """Filters what a module returns."""
    host.add_module(OUTPUT, lowpass)
    host.register_forward_hook(_filter_output)


def filter_input(host: nn.Module, lowpass: nn.Module) -> None:
    """Filters what a module receives as its only argument."""
    host.add_module(INPUT, lowpass)
    host.register_forward_pre_hook(_filter_input)


def filter_pool(pool: Any, lowpass: nn.Module) -> None:
    """Moves the stride of an ``nn.MaxPool2d`` or ``nn.AvgPool2d`` into a filter behind it."""
    pool.plain_stride, pool.stride = pool.stride, 1
    pool.add_module(OUTPUT, lowpass)
    pool.register_forward_hook(_filter_pool if pool.ceil_mode else _filter_output)


def _filter_output(host: Any, args: tuple[Tensor], output: Tensor) -> Tensor:
    return host.aa(output)


def _filter_input(host: Any, args: tuple[Tensor]) -> tuple[Tensor]:
    (x,) = args
    return (host.aa_input(x),)


def _filter_pool(pool: Any, args: tuple[Tensor], output: Tensor) -> Tensor:
    """Extends the map by its last row and column where the plain pool has one more of them."""
    sizes = [_ceil_size(pool, axis, output.shape[axis - 2]) for axis in (0, 1)]
    rows, columns = (size - output.shape[axis - 2] for axis, size in enumerate(sizes))
    return pool.aa(F.pad(output, (0, max(columns, 0), 0, max(rows, 0)), mode="replicate"))


def _ceil_size(pool: Any, axis: int, size: int) -> int:
    """Returns the size that gives the plain pool's output size with ``ceil_mode``.

    Args:
        pool: pooling layer, with stride 1 now.
        axis: 0 for rows, 1 for columns.
        size: size of the output with stride 1.
    """
    stride, padding = (_pair(value)[axis] for value in (pool.plain_stride, pool.padding))
    kernel, dilation = (_pair(v)[axis] for v in (pool.kernel_size, getattr(pool, "dilation", 1)))
    last = -((1 - size) // stride)  # index of the last window, in the plain pool's steps
    start_limit = size + dilation * (kernel - 1) - padding  # windows start before it
    if last * stride >= start_limit:
        last -= 1
    return last * stride + 1
