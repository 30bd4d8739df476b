"""The crops of a sweep."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..crops import Group
from ..shift_kinds import shift_kind
from ..shifts import Position, require_shift
from ..sources.images import ImageItem

DIRECTIONS = {"diagonal": (1, 1), "x": (0, 1), "y": (1, 0)}
"""Steps (y, x) of a sweep by direction."""


def sweep_offsets(
    height: int,
    width: int,
    max_shift: int,
    stride: int,
    direction: str = "diagonal",
    steps_per_pixel: int = 1,
) -> list[Position]:
    """Offsets of a sweep's crops.

    Args:
        height, width: height and width of the image in pixels.
        max_shift: difference S in pixels between the sides of the image and of the crops.
        stride: stride P in pixels; the reference's offset is a multiple of P.
        direction: key of :data:`DIRECTIONS`.
        steps_per_pixel: number of steps of the sweep per pixel.

    Returns:
        offset of the reference, S // 2 rounded down to a multiple of P in both directions; then the
        offsets of the crops shifted by 1, 2, ... steps, up to S - S // 2 pixels. Integers if a step
        is a pixel.

    Raises:
        ValueError: no shift is possible (a side below 4 pixels).
    """
    shift = require_shift(height, width, max_shift)
    start = shift // 2 // stride * stride
    y, x = DIRECTIONS[direction]
    steps = range((shift - shift // 2) * steps_per_pixel + 1)
    moves = [t if steps_per_pixel == 1 else t / steps_per_pixel for t in steps]
    return [(start + t * y, start + t * x) for t in moves]


class SweepGroups(NamedTuple):
    """The group of a sweep: the reference, and crops shifted by 0, 1, 2, ... steps."""

    max_shift: int = 64
    stride: int = 32
    direction: str = "diagonal"
    shifts: str = "crop"
    steps_per_pixel: int = 4

    def __call__(self, item: ImageItem, image: np.ndarray) -> Iterator[Group]:
        height, width = image.shape[:2]
        kind = shift_kind(self.shifts, self.steps_per_pixel)
        line = self.max_shift, self.stride, self.direction
        offsets = sweep_offsets(height, width, *line, kind.steps_per_pixel)
        size = kind.size(height, width, self.max_shift)
        yield Group(item, image, size, offsets[0], dict(enumerate(offsets)), kind)
