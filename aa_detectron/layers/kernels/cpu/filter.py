"""The filter on the CPU: loops that Numba compiles when they are first used.

``forward``, ``grad_x`` and ``grad_weights`` have the arguments of
:func:`~aa_detectron.layers.kernels.op.filter_map`. Inside the loops each group of channels is an
image of its own. Maps are (M, C, H, W) with M = N * g, gradients and outputs (M, C, H', W'), and
filters (M, k * k, H', W'); all are contiguous and have the same dtype. ``rows`` describes the
padded rows.
"""

import functools
import math
from typing import Any

import numpy as np
import torch
from numba import carray, cfunc, types
from torch import Tensor

from aa_detectron.layers.padding import axis_mode

from ..reference import accumulation_dtype, normalize, softmax_backward
from .compiled import Array, compiled, thread_count, thread_number
from .layout import in_format_of, to_planes
from .rows import MODES, merge, origin, place_of_copy, split, tap
from .threads import run_in_threads


def forward(x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str) -> Tensor:
    shape = (*x.shape[:2], *weights.shape[3:])
    out = _run(_forward, x, normalize(weights, softmax), shape, x, weights, stride, padding_mode)
    return in_format_of(x, out).to(x.dtype)


def grad_x(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    filters = normalize(weights, softmax)
    result = _run(_grad_x, grad, filters, x.shape, x, weights, stride, padding_mode)
    return in_format_of(x, result).to(x.dtype)


def grad_weights(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    result = _run(_grad_filters, grad, x, weights.shape, x, weights, stride, padding_mode)
    result = softmax_backward(result, normalize(weights, softmax), softmax).to(weights.dtype)
    return in_format_of(weights, result.flatten(1, 2)).view_as(weights)


def _run(
    kernel: Any,
    first: Tensor,
    second: Tensor,
    shape: tuple[int, ...],
    x: Tensor,
    weights: Tensor,
    stride: int,
    padding_mode: str,
) -> Tensor:
    """Runs a kernel on two tensors; the result is contiguous and in the dtype of the sums."""
    n, groups, taps, rows, columns = weights.shape
    k = math.isqrt(taps)
    modes = [MODES[axis_mode(padding_mode, size, k // 2)] for size in x.shape[2:]]
    dtype = accumulation_dtype(x, weights)
    arguments = [to_planes(t.flatten(1, -3).to(dtype)) for t in (first, second)]
    result = torch.empty(shape, dtype=dtype)
    # Allocated here, since Numba counts references to each row of an array of its own.
    width = (x.shape[3] + k - 1) // stride + 1
    lines = torch.empty(torch.get_num_threads(), k, stride, width, dtype=dtype)
    sizes = [n * groups, x.shape[1] // groups, *x.shape[2:], k, rows, columns, stride, *modes]
    run_in_threads(_task(kernel, dtype).address, [*arguments, result, lines], sizes)
    return result


@functools.cache
def _task(kernel: Any, dtype: torch.dtype) -> Any:
    """Returns a C function that calls a kernel with arrays, see ``run_in_threads``."""
    number: Any = np.float64 if dtype == torch.float64 else np.float32
    map_first, map_second = kernel is _forward, kernel is _grad_filters

    def task(pointers: Any) -> None:
        sizes: Any = carray(pointers[4], 10, np.int64)
        m, c, h, w, k, rows, columns, stride, row_mode, column_mode = sizes
        whole, small, filters = (m, c, h, w), (m, c, rows, columns), (m, k * k, rows, columns)
        if map_first:
            shapes = whole, filters, small
        elif map_second:
            shapes = small, whole, filters
        else:
            shapes = small, filters, whole
        part, parts = thread_number(), thread_count()
        lines = carray(pointers[3], (parts, k, stride, (w + k - 1) // stride + 1), number)
        kernel(
            carray(pointers[0], shapes[0], number),
            carray(pointers[1], shapes[1], number),
            carray(pointers[2], shapes[2], number),
            lines[part], k, stride, row_mode, column_mode, part, parts,
        )  # fmt: skip

    return cfunc(types.void(types.CPointer(types.voidptr)))(task)


@compiled
def _forward(
    x: Array, filters: Array, out: Array, lines: Array,
    k: int, stride: int, row_mode: int, column_mode: int, part: int, parts: int,
) -> None:  # fmt: skip
    images, channels, height, width = x.shape
    rows, columns = out.shape[2:]
    first, last = part * images * rows // parts, (part + 1) * images * rows // parts
    for m in range(first // rows, -(-last // rows)):
        start, stop = max(first - m * rows, 0), min(last - m * rows, rows)
        for c in range(channels):
            unread = start * stride - k // 2
            for p in range(start, stop):
                unread = _read(x[m, c], lines, p, unread, row_mode, column_mode)
                summed = out[m, c, p]
                summed[:] = 0
                for i in range(k):
                    phases = lines[(p * stride + i) % k]
                    for j in range(k):
                        window, weight = tap(phases, j), filters[m, i * k + j, p]
                        for q in range(columns):
                            summed[q] += weight[q] * window[q]


@compiled
def _grad_filters(
    grad: Array, x: Array, result: Array, lines: Array,
    k: int, stride: int, row_mode: int, column_mode: int, part: int, parts: int,
) -> None:  # fmt: skip
    images, channels, height, width = x.shape
    rows, columns = grad.shape[2:]
    first, last = part * images * rows // parts, (part + 1) * images * rows // parts
    for m in range(first // rows, -(-last // rows)):
        start, stop = max(first - m * rows, 0), min(last - m * rows, rows)
        result[m, :, start:stop] = 0
        for c in range(channels):
            unread = start * stride - k // 2
            for p in range(start, stop):
                unread = _read(x[m, c], lines, p, unread, row_mode, column_mode)
                outer = grad[m, c, p]
                for i in range(k):
                    phases = lines[(p * stride + i) % k]
                    for j in range(k):
                        window, summed = tap(phases, j), result[m, i * k + j, p]
                        for q in range(columns):
                            summed[q] += outer[q] * window[q]


@compiled
def _grad_x(
    grad: Array, filters: Array, result: Array, lines: Array,
    k: int, stride: int, row_mode: int, column_mode: int, part: int, parts: int,
) -> None:  # fmt: skip
    """Gathers each row from the outputs that have read the row or one of its copies."""
    images, channels, height, width = result.shape
    rows, columns = grad.shape[2:]
    phases = lines[0]
    for row in range(part * images * height // parts, (part + 1) * images * height // parts):
        m, y = divmod(row, height)
        for c in range(channels):
            phases[:] = 0
            for copy in range(k):
                line = place_of_copy(y, copy, height, k)
                if origin(line, height, row_mode) != y:
                    continue
                for i in range(k):
                    p, rest = divmod(line + k // 2 - i, stride)
                    if rest or not 0 <= p < rows:
                        continue
                    outer = grad[m, c, p]
                    for j in range(k):
                        window, weight = tap(phases, j), filters[m, i * k + j, p]
                        for q in range(columns):
                            window[q] += weight[q] * outer[q]
            merge(phases, result[m, c, y], k, column_mode)


@compiled
def _read(plane: Array, lines: Array, p: int, unread: int, row_mode: int, column_mode: int) -> int:
    """Reads the padded rows that output row ``p`` needs into ``lines``, row r at (r + pad) % k.

    The rows before ``unread`` are already there. Returns the new ``unread``.
    """
    k, stride = lines.shape[:2]
    pad = k // 2
    for line in range(max(p * stride - pad, unread), p * stride - pad + k):
        y = origin(line, len(plane), row_mode)
        if y < 0:
            lines[(line + pad) % k] = 0
        else:
            split(plane[y], lines[(line + pad) % k], k, column_mode)
    return p * stride - pad + k
