"""Sizes and memory formats of maps."""

import math

import torch
from torch import Tensor


def output_size(x: Tensor, stride: int) -> tuple[int, int]:
    """Returns height and width of a filtered map: (ceil(H / s), ceil(W / s))."""
    return (x.shape[2] + stride - 1) // stride, (x.shape[3] + stride - 1) // stride


def is_channels_last(x: Tensor) -> bool:
    """Returns whether a tensor is in torch's channels-last format, and not contiguous as well.

    Args:
        x: feature map, (N, C, H, W), or filters, (N, g, k * k, H', W'), with g * k * k channels.
    """
    x = x.flatten(1, -3)
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def empty_as(
    x: Tensor, shape: tuple[int, ...] | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """Returns an empty tensor in the memory format of another.

    Args:
        x: feature map, (N, C, H, W), or filters, (N, g, k * k, H', W').
        shape: shape of the result; None for the shape of ``x``.
        dtype: dtype of the result; None for the dtype of ``x``.
    """
    shape = x.shape if shape is None else shape
    memory_format = torch.channels_last if is_channels_last(x) else torch.contiguous_format
    flat = (shape[0], math.prod(shape[1:-2]), *shape[-2:])
    empty = torch.empty(flat, dtype=dtype or x.dtype, device=x.device, memory_format=memory_format)
    return empty.unflatten(1, shape[1:-2])


def empty_output(x: Tensor, channels: int, stride: int) -> Tensor:
    """Returns an empty map for the output of a filter or conv.

    Args:
        x: input, (N, C, H, W); the output has its dtype and memory format.
        channels: number of channels of the output, D.
        stride: stride, s >= 1.

    Returns:
        Empty map, (N, D, ceil(H / s), ceil(W / s)).
    """
    return empty_as(x, (x.shape[0], channels, *output_size(x, stride)))
