"""The filter on the GPU: Triton kernels, forward and backward.

A program computes a tile: some channels of one group at some pixels. The softmax over the taps
comes before the kernels. ``_forward`` and ``_grad_weights`` pad by indices. ``_grad_x`` knows no
padding: :func:`~aa_detectron.layers.kernels.reference.fold_padding` has moved it into the filters.
Sums are in float32 (float64 if an argument is float64). Every element is written by one program, so
results are deterministic. Maps of any strides need no copy: the inner axis of a tile is the axis
along which the map is contiguous.

``forward``, ``grad_x`` and ``grad_weights`` have the arguments of
:func:`~aa_detectron.layers.kernels.op.filter_map`. Triton reads the annotations of its kernels, so
only compile-time constants have one.
"""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..maps import empty_as, empty_output, is_channels_last
from ..padding import axis_mode
from ..precision import accumulation_dtype
from .reference import fold_padding, normalize, softmax_backward

TILE = 512
"""Number of elements that a program computes at a time."""
FEW = 1 << 16
"""Number of filters for which one program for every 128 of them would leave a GPU idle."""


def forward(x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str) -> Tensor:
    filters, out = normalize(weights, softmax), empty_output(x, x.shape[1], stride)
    _launch(_forward, out, (x, filters, out), x, filters, stride, padding_mode)
    return out


def grad_x(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    filters, result = normalize(weights, softmax), empty_as(x)
    filters = fold_padding(filters, x.shape[2:], stride, padding_mode)
    _launch(_grad_x, result, (grad, filters, result), x, filters, stride, padding_mode)
    return result


def grad_weights(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    result = empty_as(weights, dtype=accumulation_dtype(x, weights))
    _launch(_grad_weights, grad, (grad, x, result), x, weights, stride, padding_mode)
    if softmax != "none":
        result = softmax_backward(result, normalize(weights, softmax), softmax)
    return result.to(weights.dtype)


def _launch(
    kernel: Any,
    tiled: Tensor,
    tensors: tuple[Tensor, Tensor, Tensor],
    x: Tensor,
    weights: Tensor,
    stride: int,
    padding_mode: str,
) -> None:
    """Launches a kernel whose programs compute tiles of one map, for all channels of the filters.

    Args:
        kernel: one of the kernels below.
        tiled: map of which a program computes a tile, (N, C, rows, columns).
        tensors: the kernel's first arguments; they are followed by the sizes and all strides.
        x: map before the filter, (N, C, H, W).
        weights: filters or logits, (N, g, k * k, H', W').
        stride: stride of the filter, s.
        padding_mode: see :func:`~aa_detectron.layers.kernels.op.filter_map`.
    """
    images, channels, *size = tiled.shape
    groups, taps, rows, columns = weights.shape[1:]
    k, per_group, last = math.isqrt(taps), channels // groups, is_channels_last(x)
    block_c, block_p, warps = _blocks(kernel, per_group, last, images * groups * rows * columns)
    chunks = 1 if kernel is _grad_weights else triton.cdiv(per_group, block_c)
    programs = images * groups * chunks * triton.cdiv(math.prod(size), block_p)
    with torch.cuda.device_of(x):
        kernel[(programs,)](
            *tensors, channels, *x.shape[2:], groups, rows, columns,
            *(step for tensor in tensors for step in tensor.stride()),
            KERNEL_SIZE=k,
            STRIDE=stride,
            ROW_MODE=axis_mode(padding_mode, x.shape[2], k // 2),
            COLUMN_MODE=axis_mode(padding_mode, x.shape[3], k // 2),
            CHANNELS_LAST=last,
            DTYPE=tl.float64 if accumulation_dtype(x, weights) == torch.float64 else tl.float32,
            OFFSETS=tl.int32 if max(map(_extent, tensors)) < 2**31 else tl.int64,
            BLOCK_C=block_c,
            BLOCK_P=block_p,
            num_warps=warps,
        )  # fmt: skip


def _blocks(kernel: Any, per_group: int, last: bool, filters: int) -> tuple[int, int, int]:
    """Returns channels and pixels of a tile, and the number of warps.

    The values are the fastest ones of those that were tried on an H200, over the shapes of
    tools/benchmarks/layer.py.

    Args:
        kernel: one of the kernels below.
        per_group: number of channels of a group.
        last: whether maps are channels-last.
        filters: number of filters, N * g * H' * W'.
    """
    if kernel is _grad_weights and not last:  # neighboring pixels are in neighboring threads
        return (min(triton.next_power_of_2(per_group), 8) if filters < FEW else 1), 128, 4
    block_c = min(triton.next_power_of_2(per_group), 32 if last else 8)
    return block_c, TILE // block_c, 4 if last and kernel is not _grad_x else 2


def _extent(t: Tensor) -> int:
    """Returns the largest offset of an element of an image from the image's first element."""
    pairs = zip(t.shape[1:], t.stride()[1:], strict=True)
    return sum((size - 1) * step for size, step in pairs)


@triton.jit
def _program(groups, chunks, blocks, CHANNELS_LAST: tl.constexpr):
    """Returns this program's image, group, chunk of channels and block of pixels.

    Neighboring programs share memory lines: they compute the same pixels, or the next ones.
    """
    rest = tl.program_id(0)
    if CHANNELS_LAST:
        chunk = rest % chunks
        group = rest // chunks % groups
        rest = rest // chunks // groups
        block = rest % blocks
        image = rest // blocks
    else:
        block = rest % blocks
        rest = rest // blocks
        chunk = rest % chunks
        group = rest // chunks % groups
        image = rest // chunks // groups
    return image.to(tl.int64), group, chunk, block


@triton.jit
def _axes(BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr, CHANNELS_LAST: tl.constexpr):
    """Returns channels and pixels of a tile, each along its own axis; the inner axis is last."""
    channel, pixel = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_P)
    if CHANNELS_LAST:
        return channel[None, :], pixel[:, None]
    else:
        return channel[:, None], pixel[None, :]


@triton.jit
def _origin(position, size, MODE: tl.constexpr):
    """Returns the position in the map whose value a position in the padded map has."""
    if MODE == "reflect":
        position = tl.where(position < 0, -position, position)
        position = tl.where(position >= size, 2 * (size - 1) - position, position)
    elif MODE == "replicate":
        position = tl.minimum(tl.maximum(position, 0), size - 1)
    return position


@triton.jit
def _load(pointer, mask, DTYPE: tl.constexpr):
    return tl.load(pointer, mask=mask, other=0).to(DTYPE)


@triton.jit
def _forward(
    x, filters, out,
    channels, height, width, groups, rows, columns,
    x_n, x_c, x_h, x_w,
    filters_n, filters_g, filters_t, filters_h, filters_w,
    out_n, out_c, out_h, out_w,
    KERNEL_SIZE: tl.constexpr, STRIDE: tl.constexpr,
    ROW_MODE: tl.constexpr, COLUMN_MODE: tl.constexpr,
    CHANNELS_LAST: tl.constexpr, DTYPE: tl.constexpr, OFFSETS: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    PAD: tl.constexpr = KERNEL_SIZE // 2
    per_group = channels // groups
    image, group, chunk, block = _program(
        groups, tl.cdiv(per_group, BLOCK_C), tl.cdiv(rows * columns, BLOCK_P), CHANNELS_LAST
    )
    channel, pixel = _axes(BLOCK_C, BLOCK_P, CHANNELS_LAST)
    channel, pixel = channel + chunk * BLOCK_C, pixel + block * BLOCK_P
    exists = pixel < rows * columns
    mask = exists & (channel < per_group)
    channel = (channel + group * per_group).to(OFFSETS)
    row, column = (pixel // columns).to(OFFSETS), (pixel % columns).to(OFFSETS)
    x += image * x_n
    filters += image * filters_n + group.to(tl.int64) * filters_g
    out += image * out_n
    of_channel, of_filter = channel * x_c, row * filters_h + column * filters_w
    summed = tl.zeros(mask.shape, DTYPE)
    for i in tl.static_range(KERNEL_SIZE):
        y = _origin(row * STRIDE + (i - PAD), height, ROW_MODE)
        row_exists = exists & (y >= 0) & (y < height)
        for j in tl.static_range(KERNEL_SIZE):
            z = _origin(column * STRIDE + (j - PAD), width, COLUMN_MODE)
            read = row_exists & (z >= 0) & (z < width)
            weight = _load(filters + of_filter + (i * KERNEL_SIZE + j) * filters_t, exists, DTYPE)
            summed += weight * _load(x + (of_channel + (y * x_h + z * x_w)), mask & read, DTYPE)
    out += channel * out_c + (row * out_h + column * out_w)
    tl.store(out, summed.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _grad_weights(
    grad, x, result,
    channels, height, width, groups, rows, columns,
    grad_n, grad_c, grad_h, grad_w,
    x_n, x_c, x_h, x_w,
    result_n, result_g, result_t, result_h, result_w,
    KERNEL_SIZE: tl.constexpr, STRIDE: tl.constexpr,
    ROW_MODE: tl.constexpr, COLUMN_MODE: tl.constexpr,
    CHANNELS_LAST: tl.constexpr, DTYPE: tl.constexpr, OFFSETS: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    PAD: tl.constexpr = KERNEL_SIZE // 2
    per_group = channels // groups
    image, group, _, block = _program(groups, 1, tl.cdiv(rows * columns, BLOCK_P), CHANNELS_LAST)
    channel, pixel = _axes(BLOCK_C, BLOCK_P, CHANNELS_LAST)
    pixel += block * BLOCK_P
    exists = pixel < rows * columns
    row, column = (pixel // columns).to(OFFSETS), (pixel % columns).to(OFFSETS)
    channel, first = channel.to(OFFSETS), (group * per_group).to(OFFSETS)
    grad += image * grad_n
    x += image * x_n
    result += image * result_n + group.to(tl.int64) * result_g
    of_grad, of_result = row * grad_h + column * grad_w, row * result_h + column * result_w
    for i in range(KERNEL_SIZE):
        y = _origin(row * STRIDE + (i - PAD), height, ROW_MODE)
        row_exists = exists & (y >= 0) & (y < height)
        for j in tl.static_range(KERNEL_SIZE):
            z = _origin(column * STRIDE + (j - PAD), width, COLUMN_MODE)
            read = row_exists & (z >= 0) & (z < width)
            of_x = y * x_h + z * x_w
            products = tl.zeros((exists & (channel < per_group)).shape, DTYPE)
            for start in range(0, per_group, BLOCK_C):
                c = channel + start
                outer = _load(
                    grad + ((first + c) * grad_c + of_grad), exists & (c < per_group), DTYPE
                )
                pixels = _load(x + ((first + c) * x_c + of_x), read & (c < per_group), DTYPE)
                products += outer * pixels
            gradient = tl.sum(products, axis=1 if CHANNELS_LAST else 0, keep_dims=True)
            at = result + of_result + (i * KERNEL_SIZE + j) * result_t
            tl.store(at, gradient, mask=exists)


@triton.jit
def _grad_x(
    grad, filters, result,
    channels, height, width, groups, rows, columns,
    grad_n, grad_c, grad_h, grad_w,
    filters_n, filters_g, filters_t, filters_h, filters_w,
    result_n, result_c, result_h, result_w,
    KERNEL_SIZE: tl.constexpr, STRIDE: tl.constexpr,
    ROW_MODE: tl.constexpr, COLUMN_MODE: tl.constexpr,
    CHANNELS_LAST: tl.constexpr, DTYPE: tl.constexpr, OFFSETS: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """Gathers, for each pixel, from the outputs that have read the pixel."""
    PAD: tl.constexpr = KERNEL_SIZE // 2
    READERS: tl.constexpr = (KERNEL_SIZE + STRIDE - 1) // STRIDE  # outputs that read a position
    per_group = channels // groups
    image, group, chunk, block = _program(
        groups, tl.cdiv(per_group, BLOCK_C), tl.cdiv(height * width, BLOCK_P), CHANNELS_LAST
    )
    channel, pixel = _axes(BLOCK_C, BLOCK_P, CHANNELS_LAST)
    channel, pixel = channel + chunk * BLOCK_C, pixel + block * BLOCK_P
    exists = pixel < height * width
    mask = exists & (channel < per_group)
    channel = (channel + group * per_group).to(OFFSETS)
    y, z = (pixel // width).to(OFFSETS), (pixel % width).to(OFFSETS)
    grad += image * grad_n
    filters += image * filters_n + group.to(tl.int64) * filters_g
    result += image * result_n
    of_channel = channel * grad_c
    summed = tl.zeros(mask.shape, DTYPE)
    for a in tl.static_range(READERS):
        p = (y + PAD) // STRIDE - a
        i = y + PAD - p * STRIDE
        row_reads = exists & (p >= 0) & (p < rows) & (i < KERNEL_SIZE)
        for b in tl.static_range(READERS):
            q = (z + PAD) // STRIDE - b
            j = z + PAD - q * STRIDE
            reads = row_reads & (q >= 0) & (q < columns) & (j < KERNEL_SIZE)
            at = (i * KERNEL_SIZE + j) * filters_t + p * filters_h + q * filters_w
            weight = _load(filters + at, reads, DTYPE)
            at = grad + (of_channel + (p * grad_h + q * grad_w))
            summed += weight * _load(at, mask & reads, DTYPE)
    result += channel * result_c + (y * result_h + z * result_w)
    tl.store(result, summed.to(result.dtype.element_ty), mask=mask)
