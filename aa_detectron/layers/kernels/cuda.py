"""The filter on the GPU: Triton kernels, forward and backward.

A program computes a tile: some channels of one group, in some columns of one row. Padding is done
by indices, and the softmax over the taps of a group is fused into the kernels. Sums are in float32
(float64 if an argument is float64). Every element is written by one program, so results are
deterministic. Contiguous and channels-last maps need no copy: the inner axis of the tile is the
axis along which the map is contiguous.

``forward``, ``grad_x`` and ``grad_weights`` have the arguments of
:func:`~aa_detectron.layers.kernels.op.filter_map`. Triton reads the annotations of its kernels, so
only compile-time constants have one.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..blur_pool import axis_mode
from .reference import (
    accumulation_dtype,
    empty_as,
    empty_output,
    is_channels_last,
    normalize,
    softmax_backward,
)


def forward(x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str) -> Tensor:
    weights, fused = _prepare(weights, softmax)
    out = empty_output(x, x.shape[1], stride)
    grid, options = _tiles(x, weights, out.shape, stride, padding_mode, fused)
    with torch.cuda.device_of(x):
        _forward[grid](
            x, weights, out,
            *x.shape[1:], *weights.shape[1:2], *out.shape[2:],
            *x.stride(), *weights.stride(), *out.stride(),
            **options,
        )  # fmt: skip
    return out


def grad_x(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    weights, fused = _prepare(weights, softmax)
    result = empty_as(x)
    # (N, g, H', W'): logarithm of the sum by which the softmax divides.
    sums = weights.to(accumulation_dtype(x, weights)).logsumexp(2) if fused else weights[:, :, 0]
    grid, options = _tiles(x, weights, x.shape, stride, padding_mode, fused)
    with torch.cuda.device_of(x):
        _grad_x[grid](
            grad, weights, sums, result,
            *x.shape[1:], *weights.shape[1:2], *grad.shape[2:],
            *grad.stride(), *weights.stride(), *sums.stride(), *result.stride(),
            **options,
        )  # fmt: skip
    return result


def grad_weights(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    filters, fused = _prepare(weights, softmax)
    result = torch.empty_like(weights, dtype=accumulation_dtype(x, weights))
    grid, options = _tiles(x, filters, grad.shape, stride, padding_mode, fused, all_channels=True)
    with torch.cuda.device_of(x):
        _grad_weights[grid](
            grad, x, filters, result,
            *x.shape[1:], *filters.shape[1:2], *grad.shape[2:],
            *grad.stride(), *x.stride(), *filters.stride(), *result.stride(),
            **options,
        )  # fmt: skip
    if softmax == "all":
        result = softmax_backward(result, filters, softmax)
    return result.to(weights.dtype)


def _prepare(weights: Tensor, softmax: str) -> tuple[Tensor, bool]:
    """Returns the weights for the kernels, and whether the kernels apply the softmax.

    The kernels fuse the softmax of a group. The softmax over all groups is computed before them.
    """
    if softmax == "all":
        return normalize(weights, softmax), False
    return weights, softmax == "group"


def _tiles(
    x: Tensor,
    weights: Tensor,
    shape: torch.Size,
    stride: int,
    padding_mode: str,
    fused: bool,
    all_channels: bool = False,
) -> tuple[tuple[int], dict]:
    """Returns the number of programs for a map of ``shape``, and the kernels' constants."""
    groups, k = weights.shape[1], math.isqrt(weights.shape[2])
    images, channels, rows, columns = shape
    block_c = min(triton.next_power_of_2(channels // groups), 32)
    block_w = min(max(triton.next_power_of_2(columns), 16), 64)
    chunks = 1 if all_channels else triton.cdiv(channels // groups, block_c)
    options = {
        "KERNEL_SIZE": k,
        "STRIDE": stride,
        "ROW_MODE": axis_mode(padding_mode, x.shape[2], k // 2),
        "COLUMN_MODE": axis_mode(padding_mode, x.shape[3], k // 2),
        "SOFTMAX": fused,
        "CHANNELS_LAST": is_channels_last(x),
        "DTYPE": tl.float64 if accumulation_dtype(x, weights) == torch.float64 else tl.float32,
        "BLOCK_C": block_c,
        "BLOCK_W": block_w,
        "num_warps": max(1, block_c * block_w // 256),
    }
    return (images * groups * chunks * rows * triton.cdiv(columns, block_w),), options


@triton.jit
def _program(groups, chunks, rows, blocks, CHANNELS_LAST: tl.constexpr):
    """Returns this program's image, group, chunk of channels, row and block of columns.

    Neighboring programs share memory lines: they compute the same pixels, or the same rows.
    """
    rest = tl.program_id(0)
    if CHANNELS_LAST:
        chunk = rest % chunks
        group = rest // chunks % groups
        rest = rest // chunks // groups
        block = rest % blocks
        row = rest // blocks % rows
        image = rest // blocks // rows
    else:
        block = rest % blocks
        row = rest // blocks % rows
        rest = rest // blocks // rows
        chunk = rest % chunks
        group = rest // chunks % groups
        image = rest // chunks // groups
    return image.to(tl.int64), group.to(tl.int64), chunk, row, block


@triton.jit
def _axes(BLOCK_C: tl.constexpr, BLOCK_W: tl.constexpr, CHANNELS_LAST: tl.constexpr):
    """Returns channels and columns of a tile, each along its own axis; the inner axis is last."""
    # Two channels may be a whole map apart in memory: offsets of channels need 64 bits.
    channel, column = tl.arange(0, BLOCK_C).to(tl.int64), tl.arange(0, BLOCK_W)
    if CHANNELS_LAST:
        return channel[None, :], column[:, None]
    else:
        return channel[:, None], column[None, :]


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
def _padded_position(position, copy, size, PAD: tl.constexpr):
    """Returns a position in the padded map: of the pixel itself (copy 0), or in the padding."""
    in_padding = tl.where(copy <= PAD, copy - 1, size + copy - 1)
    return tl.where(copy == 0, position + PAD, in_padding)


@triton.jit
def _load(pointer, mask, DTYPE: tl.constexpr):
    return tl.load(pointer, mask=mask, other=0).to(DTYPE)


@triton.jit
def _largest(logits, step, mask, TAPS: tl.constexpr, DTYPE: tl.constexpr):
    largest = _load(logits, mask, DTYPE)
    for tap in range(1, TAPS):
        largest = tl.maximum(largest, _load(logits + tap * step, mask, DTYPE))
    return largest


@triton.jit
def _log_sum_exp(logits, step, mask, TAPS: tl.constexpr, DTYPE: tl.constexpr):
    largest = _largest(logits, step, mask, TAPS, DTYPE)
    total = tl.zeros_like(largest)
    for tap in range(TAPS):
        total += tl.exp(_load(logits + tap * step, mask, DTYPE) - largest)
    return largest + tl.log(total)


@triton.jit
def _forward(
    x, weights, out,
    channels, height, width, groups, rows, columns,
    x_n, x_c, x_h, x_w,
    weights_n, weights_g, weights_t, weights_h, weights_w,
    out_n, out_c, out_h, out_w,
    KERNEL_SIZE: tl.constexpr, STRIDE: tl.constexpr,
    ROW_MODE: tl.constexpr, COLUMN_MODE: tl.constexpr,
    SOFTMAX: tl.constexpr, CHANNELS_LAST: tl.constexpr, DTYPE: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    PAD: tl.constexpr = KERNEL_SIZE // 2
    per_group = channels // groups
    image, group, chunk, row, block = _program(
        groups, tl.cdiv(per_group, BLOCK_C), rows, tl.cdiv(columns, BLOCK_W), CHANNELS_LAST
    )
    channel, column = _axes(BLOCK_C, BLOCK_W, CHANNELS_LAST)
    channel, column = channel + chunk * BLOCK_C, column + block * BLOCK_W
    exists = column < columns
    mask = exists & (channel < per_group)
    channel += group * per_group
    x += image * x_n + channel * x_c
    weights += image * weights_n + group * weights_g + row.to(tl.int64) * weights_h
    weights += column * weights_w
    summed = tl.zeros(mask.shape, DTYPE)
    if SOFTMAX:
        largest = _largest(weights, weights_t, exists, KERNEL_SIZE * KERNEL_SIZE, DTYPE)
        total = tl.zeros_like(largest)
    for i in range(KERNEL_SIZE):
        y = _origin(row * STRIDE + i - PAD, height, ROW_MODE)
        row_exists = (y >= 0) & (y < height)
        for j in tl.static_range(KERNEL_SIZE):
            z = _origin(column * STRIDE + j - PAD, width, COLUMN_MODE)
            read = mask & row_exists & (z >= 0) & (z < width)
            weight = _load(weights + (i * KERNEL_SIZE + j) * weights_t, exists, DTYPE)
            if SOFTMAX:
                weight = tl.exp(weight - largest)
                total += weight
            summed += weight * _load(x + y.to(tl.int64) * x_h + z * x_w, read, DTYPE)
    if SOFTMAX:
        summed /= total
    out += image * out_n + channel * out_c + row.to(tl.int64) * out_h + column * out_w
    tl.store(out, summed.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _grad_weights(
    grad, x, weights, result,
    channels, height, width, groups, rows, columns,
    grad_n, grad_c, grad_h, grad_w,
    x_n, x_c, x_h, x_w,
    weights_n, weights_g, weights_t, weights_h, weights_w,
    result_n, result_g, result_t, result_h, result_w,
    KERNEL_SIZE: tl.constexpr, STRIDE: tl.constexpr,
    ROW_MODE: tl.constexpr, COLUMN_MODE: tl.constexpr,
    SOFTMAX: tl.constexpr, CHANNELS_LAST: tl.constexpr, DTYPE: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    PAD: tl.constexpr = KERNEL_SIZE // 2
    TAPS: tl.constexpr = KERNEL_SIZE * KERNEL_SIZE
    per_group = channels // groups
    image, group, _, row, block = _program(
        groups, 1, rows, tl.cdiv(columns, BLOCK_W), CHANNELS_LAST
    )
    channel, column = _axes(BLOCK_C, BLOCK_W, CHANNELS_LAST)
    column += block * BLOCK_W
    exists = column < columns
    grad += image * grad_n + group * per_group * grad_c
    grad += row.to(tl.int64) * grad_h + column * grad_w
    x += image * x_n + group * per_group * x_c
    weights += image * weights_n + group * weights_g + row.to(tl.int64) * weights_h
    weights += column * weights_w
    result += image * result_n + group * result_g + row.to(tl.int64) * result_h
    result += column * result_w
    if SOFTMAX:
        scale = _log_sum_exp(weights, weights_t, exists, TAPS, DTYPE)
        mean = tl.zeros_like(scale)
    for i in range(KERNEL_SIZE):
        y = _origin(row * STRIDE + i - PAD, height, ROW_MODE)
        row_exists = (y >= 0) & (y < height)
        for j in tl.static_range(KERNEL_SIZE):
            z = _origin(column * STRIDE + j - PAD, width, COLUMN_MODE)
            read = exists & row_exists & (z >= 0) & (z < width)
            source = x + y.to(tl.int64) * x_h + z * x_w
            products = tl.zeros((exists & (channel < per_group)).shape, DTYPE)
            for first in range(0, per_group, BLOCK_C):
                c = channel + first
                outer = _load(grad + c * grad_c, exists & (c < per_group), DTYPE)
                products += outer * _load(source + c * x_c, read & (c < per_group), DTYPE)
            gradient = tl.sum(products, axis=1 if CHANNELS_LAST else 0, keep_dims=True)
            tap = i * KERNEL_SIZE + j
            tl.store(result + tap * result_t, gradient, mask=exists)
            if SOFTMAX:
                weight = tl.exp(_load(weights + tap * weights_t, exists, DTYPE) - scale)
                mean += weight * gradient
    if SOFTMAX:
        tl.debug_barrier()  # another thread may have written the values that are read again
        for tap in range(TAPS):
            weight = tl.exp(_load(weights + tap * weights_t, exists, DTYPE) - scale)
            gradient = weight * (_load(result + tap * result_t, exists, DTYPE) - mean)
            tl.store(result + tap * result_t, gradient, mask=exists)


@triton.jit
def _grad_x(
    grad, weights, sums, result,
    channels, height, width, groups, rows, columns,
    grad_n, grad_c, grad_h, grad_w,
    weights_n, weights_g, weights_t, weights_h, weights_w,
    sums_n, sums_g, sums_h, sums_w,
    result_n, result_c, result_h, result_w,
    KERNEL_SIZE: tl.constexpr, STRIDE: tl.constexpr,
    ROW_MODE: tl.constexpr, COLUMN_MODE: tl.constexpr,
    SOFTMAX: tl.constexpr, CHANNELS_LAST: tl.constexpr, DTYPE: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """Gathers, for each pixel, from the outputs that have read the pixel or one of its copies."""
    PAD: tl.constexpr = KERNEL_SIZE // 2
    READERS: tl.constexpr = (KERNEL_SIZE + STRIDE - 1) // STRIDE  # outputs that read a position
    ROW_COPIES: tl.constexpr = 1 if ROW_MODE == "constant" else 1 + 2 * PAD
    COLUMN_COPIES: tl.constexpr = 1 if COLUMN_MODE == "constant" else 1 + 2 * PAD
    per_group = channels // groups
    image, group, chunk, y, block = _program(
        groups, tl.cdiv(per_group, BLOCK_C), height, tl.cdiv(width, BLOCK_W), CHANNELS_LAST
    )
    channel, column = _axes(BLOCK_C, BLOCK_W, CHANNELS_LAST)
    channel, column = channel + chunk * BLOCK_C, column + block * BLOCK_W
    exists = column < width
    mask = exists & (channel < per_group)
    channel += group * per_group
    grad += image * grad_n + channel * grad_c
    weights += image * weights_n + group * weights_g
    sums += image * sums_n + group * sums_g
    near_border = (block * BLOCK_W <= PAD) | ((block + 1) * BLOCK_W >= width - PAD)
    summed = tl.zeros(mask.shape, DTYPE)
    for row_copy in range(ROW_COPIES):
        padded_y = _padded_position(y, row_copy, height, PAD)
        if _origin(padded_y - PAD, height, ROW_MODE) == y:
            for column_copy in range(COLUMN_COPIES):
                if (column_copy == 0) | near_border:
                    padded_z = _padded_position(column, column_copy, width, PAD)
                    here = exists & (_origin(padded_z - PAD, width, COLUMN_MODE) == column)
                    for a in tl.static_range(READERS):
                        p = padded_y // STRIDE - a
                        i = padded_y - p * STRIDE
                        row_reads = (p >= 0) & (p < rows) & (i < KERNEL_SIZE)
                        for b in tl.static_range(READERS):
                            q = padded_z // STRIDE - b
                            j = padded_z - q * STRIDE
                            reads = here & row_reads & (q >= 0) & (q < columns)
                            reads &= j < KERNEL_SIZE
                            weight = _load(
                                weights
                                + (i * KERNEL_SIZE + j) * weights_t
                                + p.to(tl.int64) * weights_h
                                + q * weights_w,
                                reads,
                                DTYPE,
                            )
                            if SOFTMAX:
                                at = sums + p.to(tl.int64) * sums_h + q * sums_w
                                weight = tl.exp(weight - _load(at, reads, DTYPE))
                            at = grad + p.to(tl.int64) * grad_h + q * grad_w
                            summed += weight * _load(at, reads & mask, DTYPE)
    result += image * result_n + channel * result_c + y.to(tl.int64) * result_h + column * result_w
    tl.store(result, summed.to(result.dtype.element_ty), mask=mask)
