"""A separable blur on the CPU: loops that Numba compiles when they are first used.

Maps are (M, H, W) with M = N * C, outputs and gradients (M, H', W'); all are contiguous and have
the same dtype. A row is filtered along the columns of the map first, then along itself; ``rows``
describes the padded rows.
"""

import functools
from typing import Any

import numpy as np
import torch
from numba import carray, cfunc, types
from torch import Tensor

from aa_detectron.layers.padding import axis_mode

from .compiled import Array, compiled, thread_count, thread_number
from .rows import MODES, merge, origin, place_of_copy, split, tap
from .threads import run_in_threads


def forward(x: Tensor, taps: Tensor, stride: int, padding_mode: str) -> Tensor:
    """Blurs a map.

    Args:
        x: feature map, (N, C, H, W), contiguous, float32 or float64.
        taps: row of the filter, (k,), contiguous, in the dtype of ``x``.
        stride: stride, s >= 1.
        padding_mode: see :func:`~aa_detectron.layers.padding.pad_same`.

    Returns:
        Filtered map, (N, C, ceil(H / s), ceil(W / s)).
    """
    out = x.new_empty(*x.shape[:2], *(-(-size // stride) for size in x.shape[2:]))
    _run(_forward, x, taps, out, x.shape, stride, padding_mode)
    return out


def adjoint(
    grad: Tensor, taps: Tensor, stride: int, padding_mode: str, size: tuple[int, int] | torch.Size
) -> Tensor:
    """The gradient of :func:`forward` with respect to the map.

    Args:
        grad: gradient with respect to the output, (N, C, ceil(H / s), ceil(W / s)), contiguous.
        taps, stride, padding_mode: as in :func:`forward`.
        size: height and width of the map.

    Returns:
        Gradient, (N, C, H, W).
    """
    result = grad.new_empty(*grad.shape[:2], *size)
    _run(_adjoint, grad, taps, result, result.shape, stride, padding_mode)
    return result


def _run(
    kernel: Any,
    source: Tensor,
    taps: Tensor,
    result: Tensor,
    shape: torch.Size,
    stride: int,
    padding_mode: str,
) -> None:
    """Runs a kernel on a map or gradient; ``shape`` is the shape of the map, (N, C, H, W)."""
    images, channels, height, width = shape
    k = len(taps)
    modes = [MODES[axis_mode(padding_mode, size, k // 2)] for size in (height, width)]
    # Allocated here, since Numba counts references to each row of an array of its own.
    lines = source.new_empty(torch.get_num_threads(), 1 + stride, width + k)
    sizes = [images * channels, height, width, k, stride, *modes]
    task = _task(kernel, source.dtype)
    run_in_threads(task.address, [source, taps, result, lines], sizes)


@functools.cache
def _task(kernel: Any, dtype: torch.dtype) -> Any:
    """Returns a C function that calls a kernel with arrays, see ``run_in_threads``."""
    number: Any = np.float64 if dtype == torch.float64 else np.float32
    is_forward = kernel is _forward

    def task(pointers: Any) -> None:
        sizes: Any = carray(pointers[4], 7, np.int64)
        m, h, w, k, stride, row_mode, column_mode = sizes
        whole, small = (m, h, w), (m, -(-h // stride), -(-w // stride))
        part, parts = thread_number(), thread_count()
        lines = carray(pointers[3], (parts, 1 + stride, w + k), number)
        kernel(
            carray(pointers[0], whole if is_forward else small, number),
            carray(pointers[1], (k,), number),
            carray(pointers[2], small if is_forward else whole, number),
            lines[part, 0], lines[part, 1:], row_mode, column_mode, part, parts,
        )  # fmt: skip

    return cfunc(types.void(types.CPointer(types.voidptr)))(task)


@compiled
def _write(source: Array, weight: float, target: Array) -> None:
    for n in range(len(target)):
        target[n] = weight * source[n]


@compiled
def _add(source: Array, weight: float, target: Array) -> None:
    for n in range(len(target)):
        target[n] += weight * source[n]


@compiled
def _forward(
    x: Array, taps: Array, out: Array, line: Array, phases: Array,
    row_mode: int, column_mode: int, part: int, parts: int,
) -> None:  # fmt: skip
    images, height, width = x.shape
    rows = out.shape[1]
    k, stride = len(taps), len(phases)
    summed = line[:width]
    for row in range(part * images * rows // parts, (part + 1) * images * rows // parts):
        m, p = divmod(row, rows)
        before, result = (k - 1) // 2, out[m, p]
        _write(x[m, p * stride], taps[before], summed)  # the center is never in the padding
        for i in range(k):
            y = origin(p * stride + i - before, height, row_mode)
            if y >= 0 and i != before:
                _add(x[m, y], taps[i], summed)
        split(summed, phases, k, column_mode)
        _write(tap(phases, 0), taps[0], result)
        for j in range(1, k):
            _add(tap(phases, j), taps[j], result)


@compiled
def _adjoint(
    grad: Array, taps: Array, result: Array, line: Array, phases: Array,
    row_mode: int, column_mode: int, part: int, parts: int,
) -> None:  # fmt: skip
    """Gathers each row from the outputs that have read the row or one of its copies."""
    images, height, width = result.shape
    rows, columns = grad.shape[1:]
    k, stride = len(taps), len(phases)
    before = (k - 1) // 2
    summed = line[:columns]
    for row in range(part * images * height // parts, (part + 1) * images * height // parts):
        m, y = divmod(row, height)
        summed[:] = 0
        for copy in range(k):
            padded = place_of_copy(y, copy, height, k)
            if origin(padded, height, row_mode) != y:
                continue
            for i in range(k):
                p, rest = divmod(padded + before - i, stride)
                if rest == 0 and 0 <= p < rows:
                    _add(grad[m, p], taps[i], summed)
        phases[:] = 0
        for j in range(k):
            _add(summed, taps[j], tap(phases, j)[:columns])
        merge(phases, result[m, y], k, column_mode)
