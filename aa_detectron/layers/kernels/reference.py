"""The filter in plain PyTorch operators: the reference for all others, and for exports."""

import functools
import math

import torch
from torch import Tensor

from ..padding import axis_mode, pad_same
from ..precision import accumulation_dtype

SOFTMAX = ("none", "group", "all")


def normalize(weights: Tensor, softmax: str) -> Tensor:
    """Turns logits into low-pass filters, in float32 even under autocast.

    Args:
        weights: logits, (N, g, k * k, H', W'); filters for "none".
        softmax: "group" makes the taps of each group sum to 1; "all" makes the taps of all groups
            together sum to 1, as in the authors' published code; "none" changes no value.

    Returns:
        Filters, (N, g, k * k, H', W'), float32 (float64 for float64 logits).
    """
    dtype = torch.float64 if weights.dtype == torch.float64 else torch.float32
    if softmax == "none":
        return weights.to(dtype)
    if softmax == "all":
        return weights.flatten(1, 2).softmax(1, dtype=dtype).view_as(weights)
    return weights.softmax(2, dtype=dtype)


def softmax_backward(gradient: Tensor, filters: Tensor, softmax: str) -> Tensor:
    """The gradient of :func:`normalize`.

    Args:
        gradient: gradient with respect to the filters, (N, g, k * k, H', W').
        filters: filters that :func:`normalize` has returned, (N, g, k * k, H', W').
        softmax: "none", "group" or "all".

    Returns:
        Gradient with respect to the logits, (N, g, k * k, H', W').
    """
    if softmax == "none":
        return gradient
    if softmax == "all":
        outer, inner = (t.flatten(1, 2).unsqueeze(1) for t in (gradient, filters))  # one group
        return softmax_backward(outer, inner, "group").view_as(filters)
    return torch._softmax_backward_data(gradient, filters, 2, filters.dtype)


def kernel_side(taps: int) -> int:
    """Returns the side k of a filter with k * k taps."""
    return int(math.sqrt(taps))  # TorchScript has no math.isqrt


def filter_padded(padded: Tensor, filters: Tensor, stride: int) -> Tensor:
    """Filters a padded map with one k x k filter per group of channels and location.

    Args:
        padded: padded map, (N, C, H + k - 1, W + k - 1).
        filters: filters, (N, g, k * k, ceil(H / s), ceil(W / s)), with taps in row-major order and
            C divisible by g. Group i filters the C / g channels that start at channel i * C / g. A
            shape of (N, g, k * k, 1, 1) applies the same filter everywhere.
        stride: stride, s >= 1.

    Returns:
        Filtered map, (N, C, ceil(H / s), ceil(W / s)), in the dtype of ``padded``. The sums are in
        float32, or in float64 if one of the two tensors is float64.
    """
    groups, taps = filters.shape[1], filters.shape[2]
    k = kernel_side(taps)
    height, width = padded.shape[-2] - k + 1, padded.shape[-1] - k + 1
    dtype = accumulation_dtype(padded, filters)
    grouped, filters = padded.to(dtype).unflatten(1, (groups, -1)), filters.to(dtype)
    out = grouped[..., :height:stride, :width:stride] * filters[:, :, 0].unsqueeze(2)
    for tap in range(1, taps):
        i, j = divmod(tap, k)
        window = grouped[..., i : height + i : stride, j : width + j : stride]
        out = out + window * filters[:, :, tap].unsqueeze(2)
    return out.flatten(1, 2).to(padded.dtype)


def filter_plain(
    x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    """Computes :func:`~aa_detectron.layers.kernels.op.filter_map` in plain PyTorch operators."""
    k = kernel_side(weights.shape[2])
    return filter_padded(pad_same(x, k, padding_mode), normalize(weights, softmax), stride)


def fold_padding(
    filters: Tensor, size: tuple[int, int] | torch.Size, stride: int, padding_mode: str
) -> Tensor:
    """Moves the padding of a map into the filters.

    A tap that reads a copy of a pixel in the padding is added to the tap of the same filter that
    reads the pixel itself. There is one: a filter's center is in the map, so that the distance to
    the pixel is no longer than to the copy. Filtering with the result and a padding of zeros
    equals filtering with the given filters and padding.

    Args:
        filters: filters, (N, g, k * k, ceil(H / s), ceil(W / s)).
        size: height and width of the map.
        stride: stride, s >= 1.
        padding_mode: "reflect", "replicate" or "zeros".

    Returns:
        Filters, (N, g, k * k, ceil(H / s), ceil(W / s)). Taps outside of the map keep their values.
    """
    if padding_mode == "zeros":
        return filters
    k = kernel_side(filters.shape[2])
    folded = filters.clone().unflatten(2, (k, k))
    for axis, length in enumerate(size):
        mode = axis_mode(padding_mode, length, k // 2)
        taps = folded.transpose(2, 3) if axis else folded  # taps along the axis are dimension 2
        for position, tap, origin in _padded_taps(k, length, stride, mode):
            at = taps.select(4 + axis, position)
            at[:, :, origin] += at[:, :, tap]
    return folded.flatten(2, 3)


@functools.lru_cache  # every backward pass on a GPU asks for the same sizes
def _padded_taps(k: int, size: int, stride: int, mode: str) -> list[tuple[int, int, int]]:
    """Lists (output, tap, tap that reads the same pixel) for all taps in the padding of a side."""
    found = []
    for position in range(-(-size // stride)):
        first = position * stride - k // 2
        if first >= 0 and first + k <= size:
            continue
        for tap in range(k):
            place = first + tap
            if not 0 <= place < size:
                inside = min(max(place, 0), size - 1)
                origin = inside if mode == "replicate" else 2 * inside - place
                found.append((position, tap, origin - first))
    return found
