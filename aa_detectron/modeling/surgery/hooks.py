"""Filters on the input or output of a module, without a change of any name.

A filter is a submodule of its host, and a hook applies it. The hooks are plain functions, so that a
model can be copied and pickled.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from aa_detectron.errors import InputError
from aa_detectron.layers.max_pool import MaxPool2d

from ..filter_names import INPUT, OUTPUT
from .hosts import as_host


def filter_output(host: nn.Module, lowpass: nn.Module) -> None:
    """Filters what a module returns."""
    as_host(host)
    host.add_module(OUTPUT, lowpass)
    apply_hook(host, is_input=False)


def filter_input(host: nn.Module, lowpass: nn.Module) -> None:
    """Filters what a module receives as its first argument."""
    host.add_module(INPUT, lowpass)
    apply_hook(host, is_input=True)


def apply_hook(host: nn.Module, is_input: bool) -> None:
    """Lets a module apply the filter that it has for its input or its output.

    Hooks that the module has already see the filtered output, of the size that they know.
    """
    if is_input:
        host.register_forward_pre_hook(_filter_input, with_kwargs=True)
    else:
        host.register_forward_hook(_filter_output, prepend=True)


def has_hook(host: nn.Module, is_input: bool) -> bool:
    """Tells whether a module applies a filter to its input or its output."""
    if is_input:
        return _filter_input in host._forward_pre_hooks.values()
    return _filter_output in host._forward_hooks.values()


def filter_pool(pool: Any, lowpass: nn.Module) -> None:
    """Moves the stride of an ``nn.MaxPool2d`` or ``nn.AvgPool2d`` into a filter behind it."""
    stride = pool.stride
    pool.plain_stride, pool.stride = stride, 1 if isinstance(stride, int) else (1, 1)
    if type(pool) is nn.MaxPool2d:
        pool.__class__ = MaxPool2d
    pool.add_module(OUTPUT, lowpass)
    pool.register_forward_hook(_filter_pool if _rounds_up(pool) else _filter_output, prepend=True)


def _filter_output(host: Any, args: tuple[Tensor], output: Tensor) -> Tensor:
    if isinstance(output, tuple | list | dict):
        kind = type(host).__name__
        raise InputError(
            f"a layer {kind} with a filter returns a {type(output).__name__}, not one feature map; "
            "leave it out with the argument places of antialias"
        )
    return host.aa(output)


def _filter_input(
    host: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if args:
        return (host.aa_input(args[0]), *args[1:]), kwargs
    name = next(iter(kwargs))  # as in conv(input=x)
    return args, {**kwargs, name: host.aa_input(kwargs[name])}


def _rounds_up(pool: Any) -> bool:
    """Tells whether a pool may have one row and column more than its map at stride 1 yields.

    timm's pools with "same" padding pad the map for their stride, and need no more than that.
    """
    return pool.ceil_mode and not type(pool).__name__.endswith("Same")


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
