"""The crops of a sweep."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..crops import Group
from ..shifts import Offset, crop_size, effective_shift
from ..sources.images import ImageItem

DIRECTIONS = {"diagonal": (1, 1), "x": (0, 1), "y": (1, 0)}
"""Steps (y, x) of a sweep by direction."""


def sweep_offsets(
    height: int, width: int, max_shift: int, stride: int, direction: str = "diagonal"
) -> list[Offset]:
    """Offsets of a sweep's crops, whose size is ``crop_size(height, width, max_shift)``.

    Args:
        height, width: height and width of the image in pixels.
        max_shift: difference S in pixels between the sides of the image and of the crops.
        stride: stride P in pixels; the reference's offset is a multiple of P.
        direction: key of :data:`DIRECTIONS`.

    Returns:
        offset of the reference, S // 2 rounded down to a multiple of P in both directions; then the
        offsets of the crops shifted by 1, 2, ..., S - S // 2 pixels.

    Raises:
        ValueError: no shift is possible (a side below 4 pixels).
    """
    shift = effective_shift(height, width, max_shift)
    if shift < 1:
        raise ValueError(f"{height}x{width} pixels leave no room for a shift")
    start = shift // 2 // stride * stride
    y, x = DIRECTIONS[direction]
    return [(start + t * y, start + t * x) for t in range(shift - shift // 2 + 1)]


class SweepGroups(NamedTuple):
    """The group of a sweep: the reference, and crops shifted by 0, 1, 2, ... pixels."""

    max_shift: int = 64
    stride: int = 32
    direction: str = "diagonal"

    def __call__(self, item: ImageItem, image: np.ndarray) -> Iterator[Group]:
        height, width = image.shape[:2]
        offsets = sweep_offsets(height, width, *self)
        size = crop_size(height, width, self.max_shift)
        yield Group(item, image, size, offsets[0], dict(enumerate(offsets)))
