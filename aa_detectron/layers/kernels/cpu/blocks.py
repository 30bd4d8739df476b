"""Blocks of a map that stay in the CPU's cache.

The temporary tensors of a block are small enough for the allocator to reuse. A padded or transposed
copy of a whole map would need fresh memory, which takes longer to allocate than to fill.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from aa_detectron.layers.blur_pool import axis_mode

SIZE = 1 << 19
"""Number of elements of the map in a block: 2 MiB of float32."""


@dataclass(frozen=True)
class Block:
    """Some rows of the output for one image, or all rows for some images.

    Args:
        images: images of the block.
        rows: rows of the output.
        source: rows of the map that are read.
        padding: number of padded lines on the left, right, top and bottom.
        modes: modes of ``F.pad`` for rows and for columns.
    """

    images: slice
    rows: slice
    source: slice
    padding: tuple[int, int, int, int]
    modes: tuple[str, str]

    def of_output(self, t: Tensor) -> Tensor:
        return t[self.images, ..., self.rows, :]

    def of_map(self, t: Tensor) -> Tensor:
        return t[self.images, ..., self.source, :]

    def pad(self, x: Tensor) -> Tensor:
        """Returns the block's part of the map (N, C, H, W), padded."""
        rows, columns = self.modes
        if rows == columns:
            return F.pad(self.of_map(x), self.padding, rows)
        part = F.pad(self.of_map(x), (*self.padding[:2], 0, 0), columns)
        return F.pad(part, (0, 0, *self.padding[2:]), rows)

    def unpad(self, gradient: Tensor) -> Tensor:
        """The adjoint of :meth:`pad`. The argument is overwritten."""
        left, right, top, bottom = self.padding
        gradient = _fold(gradient, 2, top, bottom, self.modes[0])
        return _fold(gradient, 3, left, right, self.modes[1])

    def padded_size(self, width: int) -> tuple[int, int]:
        left, right, top, bottom = self.padding
        return top + self.source.stop - self.source.start + bottom, left + width + right


def is_small(x: Tensor) -> bool:
    """Returns whether a map is so small that blocks would take longer than the whole."""
    return x.numel() <= 4 * SIZE


def blocks(x: Tensor, kernel_size: int, stride: int, padding_mode: str) -> Iterator[Block]:
    """Cuts the work on a map into blocks.

    Args:
        x: feature map, (N, C, H, W).
        kernel_size: side of the kernel, k, odd.
        stride: stride, s >= 1.
        padding_mode: "reflect", "replicate" or "zeros".
    """
    n, channels, height, width = x.shape
    pad, total = kernel_size // 2, -(-height // stride)
    modes = (axis_mode(padding_mode, height, pad), axis_mode(padding_mode, width, pad))
    rows = max(1, SIZE // (channels * stride * width))
    images = max(1, rows // total)
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
            )


def _fold(gradient: Tensor, dim: int, before: int, after: int, mode: str) -> Tensor:
    """Adds each line of the padding to the line that it is a copy of, and drops the padding."""
    size = gradient.shape[dim] - before - after
    inner = gradient.narrow(dim, before, size)
    if mode != "constant":
        for line in (*range(-before, 0), *range(size, size + after)):
            border = 0 if line < 0 else size - 1
            origin = 2 * border - line if mode == "reflect" else border
            inner.select(dim, origin).add_(gradient.select(dim, before + line))
    return inner
