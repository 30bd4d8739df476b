"""The filter in plain operators of PyTorch: the reference, and what exports are made of."""

import math

import torch
from torch import Tensor

from ..blur_pool import pad_same

SOFTMAX = ("none", "group", "all")


def accumulation_dtype(x: Tensor, weights: Tensor) -> torch.dtype:
    """What sums are made in: float32, or float64 where one of the two is of that."""
    return torch.promote_types(torch.promote_types(x.dtype, weights.dtype), torch.float32)


def is_autocast(x: Tensor) -> bool:
    """Whether autocast is on for the device of a tensor."""
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)  # raises for meta


def output_size(x: Tensor, stride: int) -> tuple[int, int]:
    """ceil(H / s), ceil(W / s)."""
    return (x.shape[2] + stride - 1) // stride, (x.shape[3] + stride - 1) // stride


def is_channels_last(x: Tensor) -> bool:
    """Of a map (N, C, H, W), or of filters (N, g, k * k, H', W') whose g * k * k are channels."""
    x = x.flatten(1, -3)
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def empty_as(x: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
    """Empty, in the dtype and memory format of a map or of filters; in its shape by default."""
    shape = x.shape if shape is None else shape
    memory_format = torch.channels_last if is_channels_last(x) else torch.contiguous_format
    flat = (shape[0], math.prod(shape[1:-2]), *shape[-2:])
    empty = torch.empty(flat, dtype=x.dtype, device=x.device, memory_format=memory_format)
    return empty.unflatten(1, shape[1:-2])


def empty_output(x: Tensor, channels: int, stride: int) -> Tensor:
    """(N, channels, ceil(H / s), ceil(W / s)) of the dtype and memory format of ``x``."""
    return empty_as(x, (x.shape[0], channels, *output_size(x, stride)))


def normalize(weights: Tensor, softmax: str) -> Tensor:
    """Turns logits into low-pass filters; always in float32, also under autocast.

    Args:
        weights: (N, g, k * k, H', W'), logits, or filters for "none".
        softmax: "group" makes every group's filter sum to 1; "all" makes all groups' taps together
            sum to 1, as in the authors' published code; "none" leaves them as they are.

    Returns:
        The same shape, float32 (float64 for float64 logits).
    """
    weights = weights if weights.dtype == torch.float64 else weights.float()
    if softmax == "none":
        return weights
    if softmax == "all":
        return weights.flatten(1, 2).softmax(1).view_as(weights)
    return weights.softmax(2)


def softmax_backward(gradient: Tensor, filters: Tensor, softmax: str) -> Tensor:
    """From the gradient for what :func:`normalize` has returned to that for the logits."""
    if softmax == "none":
        return gradient
    if softmax == "all":
        as_one_group = (t.flatten(1, 2).unsqueeze(1) for t in (gradient, filters))
        return softmax_backward(*as_one_group, "group").view_as(filters)
    return torch._softmax_backward_data(gradient, filters, 2, filters.dtype)


def filter_padded(padded: Tensor, filters: Tensor, stride: int) -> Tensor:
    """Filters a padded map with one k x k filter per group of channels and location.

    Args:
        padded: (N, C, H + k - 1, W + k - 1).
        filters: (N, g, k * k, H', W') in row-major order of the taps, H' = ceil(H / s), or
            (N, g, k * k, 1, 1) for the same filter everywhere; C is divisible by g, and group i
            filters the channels from i * C / g on. The sums are made in the dtype of the filters,
            which may be higher than that of the map, and in no less than float32.
        stride: s >= 1.

    Returns:
        (N, C, H', W') in the dtype of ``padded``.
    """
    groups, taps = filters.shape[1:3]
    k = math.isqrt(taps)
    height, width = padded.shape[-2] - k + 1, padded.shape[-1] - k + 1
    dtype = accumulation_dtype(padded, filters)
    grouped, filters = padded.to(dtype).unflatten(1, (groups, -1)), filters.to(dtype)
    out = 0
    for tap in range(taps):
        i, j = divmod(tap, k)
        window = grouped[..., i : height + i : stride, j : width + j : stride]
        out = out + window * filters[:, :, tap].unsqueeze(2)
    return out.flatten(1, 2).to(padded.dtype)


def filter_plain(
    x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    """What :func:`~aa_detectron.layers.kernels.op.filter_map` computes, one operator at a time."""
    k = math.isqrt(weights.shape[2])
    return filter_padded(pad_same(x, k, padding_mode), normalize(weights, softmax), stride)
