"""Memory formats of maps on the CPU, where PyTorch's own conversions are several times slower."""

import math

import torch
from torch import Tensor

from ..reference import is_channels_last


def to_pixels(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), contiguous; without a copy where it lies like that."""
    last = x.permute(0, 2, 3, 1)
    return last if last.is_contiguous() else transposed(x.flatten(2)).view(last.shape)


def to_planes(x: Tensor) -> Tensor:
    """(N, C, H, W), contiguous; without a copy where it lies like that."""
    if x.is_contiguous() or x.stride(1) != 1:
        return x.contiguous()
    return transposed(x.permute(0, 2, 3, 1).flatten(1, 2)).view(x.shape)


def in_format_of(reference: Tensor, planes: Tensor) -> Tensor:
    """Contiguous (N, C, H, W), converted to the memory format of the reference."""
    return to_pixels(planes).permute(0, 3, 1, 2) if is_channels_last(reference) else planes


def transposed(matrix: Tensor) -> Tensor:
    """Swaps the last two axes of a matrix, or of several, into contiguous memory.

    A channel shuffle is that, and has the one vectorized kernel for it in PyTorch.
    """
    matrix = matrix.contiguous()
    *batch, rows, columns = matrix.shape
    size = rows * columns
    channels = matrix.as_strided((math.prod(batch), size, 1, 1), (size, 1, size, size))
    return torch.channel_shuffle(channels, rows).reshape(*batch, columns, rows)
