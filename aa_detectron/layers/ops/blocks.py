"""Blocks of a map that stay in the CPU's cache, and their layouts.

A block's temporaries are small enough for the allocator to reuse: fresh memory of a whole map's
size takes longer to get than to fill, and is what a padded or transposed copy would need.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..blur_pool import axis_mode
from .plain import is_channels_last

SIZE = 1 << 20  # elements of the map in a block: 4 MiB of float32


@dataclass(frozen=True)
class Block:
    """Some rows of the output for one image (or ``unit`` of them), or for some whole images.

    ``padding`` is left, right, top, bottom; ``modes`` are those of ``F.pad`` for rows and columns.
    """

    images: slice
    rows: slice
    source: slice  # the rows of the map that are read
    padding: tuple[int, int, int, int]
    modes: tuple[str, str]
    kernel_size: int
    stride: int

    def of_output(self, t: Tensor) -> Tensor:
        return t[self.images, ..., self.rows, :]

    def of_map(self, t: Tensor) -> Tensor:
        return t[self.images, ..., self.source, :]

    def pad(self, x: Tensor, columns: bool = True) -> Tensor:
        """The block of the map (B, C, h, W), with all or only the rows' padding."""
        part = self.of_map(x)
        left, right, top, bottom = self.padding
        if columns:
            part = F.pad(part, (left, right, 0, 0), self.modes[1])
        return F.pad(part, (0, 0, top, bottom), self.modes[0]) if top or bottom else part

    def unpad(self, gradient: Tensor) -> Tensor:
        """The adjoint of :meth:`pad`, for pixels (B, h, w, C); overwrites its argument."""
        left, right, top, bottom = self.padding
        gradient = _fold(gradient, 1, top, bottom, self.modes[0])
        return _fold(gradient, 2, left, right, self.modes[1])

    def padded_size(self, width: int) -> tuple[int, int]:
        left, right, top, bottom = self.padding
        return top + self.source.stop - self.source.start + bottom, left + width + right

    def windows(self, padded: Tensor) -> Iterator[Tensor]:
        """What each tap reads of padded pixels, at every location."""
        k, s = self.kernel_size, self.stride
        rows, columns = padded.shape[1] - k + 1, padded.shape[2] - k + 1
        for i in range(k):
            for j in range(k):
                yield padded[:, i : i + rows : s, j : j + columns : s]


def blocks(
    x: Tensor, kernel_size: int, stride: int, padding_mode: str, unit: int = 1
) -> Iterator[Block]:
    """Cuts the work on a map (N, C, H, W) into blocks; ``unit`` images are never separated."""
    n, channels, height, width = x.shape
    pad, total = kernel_size // 2, -(-height // stride)
    modes = (axis_mode(padding_mode, height, pad), axis_mode(padding_mode, width, pad))
    rows = max(1, SIZE // (unit * channels * stride * width))
    images = unit * max(1, rows // total)
    for image in range(0, n, images):
        for row in range(0, total, rows):
            end = min(row + rows, total)
            first, last = stride * row - pad, stride * (end - 1) + pad + 1
            yield Block(
                images=slice(image, min(image + images, n)),
                rows=slice(row, end),
                source=slice(max(first, 0), min(last, height)),
                padding=(pad, pad, max(-first, 0), max(last - height, 0)),
                modes=modes,
                kernel_size=kernel_size,
                stride=stride,
            )


def _fold(gradient: Tensor, dim: int, before: int, after: int, mode: str) -> Tensor:
    """Adds the lines that padding has made to those that they are copies of, and drops them."""
    size = gradient.shape[dim] - before - after
    inner = gradient.narrow(dim, before, size)
    if mode != "constant":
        for line in (*range(-before, 0), *range(size, size + after)):
            border = 0 if line < 0 else size - 1
            origin = 2 * border - line if mode == "reflect" else border
            inner.select(dim, origin).add_(gradient.select(dim, before + line))
    return inner


def to_pixels(part: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W, C), contiguous; without a copy where it lies like that."""
    last = part.permute(0, 2, 3, 1)
    return last if last.is_contiguous() else transposed(part.flatten(2)).view(last.shape)


def from_pixels(pixels: Tensor, like: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, C, H, W), in the memory format of ``like``."""
    if is_channels_last(like):
        return pixels.permute(0, 3, 1, 2)
    return transposed(pixels.flatten(1, 2)).unflatten(-1, pixels.shape[1:3])


def transposed(matrix: Tensor) -> Tensor:
    """Swaps the last two axes of a matrix, or of several, into contiguous memory.

    A channel shuffle is that, and has the one vectorised kernel for it in PyTorch.
    """
    matrix = matrix.contiguous()
    *batch, rows, columns = matrix.shape
    size = rows * columns
    channels = matrix.as_strided((math.prod(batch), size, 1, 1), (size, 1, size, size))
    return torch.channel_shuffle(channels, rows).reshape(*batch, columns, rows)
