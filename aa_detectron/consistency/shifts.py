"""Positions of shifted crops, and the overlap of the crops of a pair.

All three consistency metrics use pairs: two crops of (H - S) x (W - S) pixels whose offsets are
independent and uniform in {0..S}^2, and redrawn if equal. The worst-shift AP uses windows: one of
(H - 41) x (W - 41) pixels in the center, and the same window moved by fixed steps.
"""

from typing import NamedTuple

import numpy as np

from aa_detectron.utils.hashing import hash_key

WORST_SHIFTS = (1, 2, 5, 10, 20)
"""Shifts of the worst-shift AP's window up, down, left and right, in pixels."""
MARGIN = 2 * max(WORST_SHIFTS) + 1
"""Difference in pixels between the sides of the image and of the window."""

Offset = tuple[int, int]
"""Position (y, x) of a crop's top left pixel in its image."""
Position = tuple[float, float]
"""Offset (y, x) that may lie between pixels."""


class Box(NamedTuple):
    """Rows y0 to y1 and columns x0 to x1, ends excluded, in pixels."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


def effective_shift(height: int, width: int, max_shift: int) -> int:
    """S for an image: ``max_shift``, or a quarter of the shorter side if that is less."""
    return min(max_shift, min(height, width) // 4)


def draw_offsets(
    height: int, width: int, max_shift: int, *, seed: int, image_id: object, pair: int
) -> tuple[Offset, Offset]:
    """Draws the two offsets of a pair, which depend only on the arguments.

    The generator is counter-based (Philox), and its key is (seed, image id, pair number). Only its
    raw words are used, since NumPy guarantees their sequence.

    Args:
        height, width: height and width of the image in pixels.
        max_shift: maximum shift S of the metric in pixels.
        seed: any integer.
        image_id: image id of any type; its ``str`` counts.
        pair: number of the pair within the image, from 0.

    Raises:
        ValueError: no two different offsets exist (a side below 4 pixels, or ``max_shift`` < 1).
    """
    return _draw_two(require_shift(height, width, max_shift), hash_key(seed, image_id, pair))


def draw_positions(
    height: int,
    width: int,
    max_shift: int,
    *,
    seed: int,
    image_id: object,
    pair: int,
    steps_per_pixel: int,
) -> tuple[Position, Position]:
    """Draws two offsets from the multiples of 1 / ``steps_per_pixel`` pixels, 0 to S.

    The other arguments and the error are those of :func:`draw_offsets`.
    """
    steps = require_shift(height, width, max_shift) * steps_per_pixel
    first, second = _draw_two(steps, hash_key(seed, image_id, pair))
    return (
        (first[0] / steps_per_pixel, first[1] / steps_per_pixel),
        (second[0] / steps_per_pixel, second[1] / steps_per_pixel),
    )


def require_shift(height: int, width: int, max_shift: int) -> int:
    """Returns :func:`effective_shift`.

    Raises:
        ValueError: no shift is possible (a side below 4 pixels, or ``max_shift`` < 1).
    """
    shift = effective_shift(height, width, max_shift)
    if shift < 1:
        raise ValueError(f"{height}x{width} pixels leave no room for a shift")
    return shift


def _draw_two(most: int, key: int) -> tuple[Offset, Offset]:
    """Two different pairs of integers from 0 to ``most``."""
    generator = np.random.Philox(key=key)
    while True:
        # The bias of the remainder, most / 2^64, is too small to measure.
        first_y, first_x, second_y, second_x = (
            int(word) % (most + 1) for word in generator.random_raw(4)
        )
        if (first_y, first_x) != (second_y, second_x):
            return (first_y, first_x), (second_y, second_x)


def window_offsets(height: int, width: int) -> list[Offset]:
    """Offsets of the worst-shift AP's windows, whose size is ``crop_size(height, width, MARGIN)``.

    Small images have a smaller margin, :func:`effective_shift`, and only the shifts within it.

    Args:
        height, width: height and width of the image in pixels.

    Returns:
        offset of the center, then the offsets up, down, left and right of it for every shift.

    Raises:
        ValueError: no shift is possible (a side below 8 pixels).
    """
    center = effective_shift(height, width, MARGIN) // 2
    shifts = [shift for shift in WORST_SHIFTS if shift <= center]
    if not shifts:
        raise ValueError(f"{height}x{width} pixels leave no room for a shift")
    moves = [(0, 0)]
    for shift in shifts:
        moves += [(-shift, 0), (shift, 0), (0, -shift), (0, shift)]
    return [(center + y, center + x) for y, x in moves]


def crop_size(height: int, width: int, max_shift: int) -> tuple[int, int]:
    """Size (height, width) of all crops of an image."""
    shift = effective_shift(height, width, max_shift)
    return height - shift, width - shift


def overlap_in_crops(first: Offset, second: Offset, size: tuple[int, int]) -> tuple[Box, Box]:
    """Finds the pixels that both crops show, in the coordinates of each crop.

    Args:
        first, second: offsets of the crops.
        size: size (height, width) of both crops in pixels.

    Returns:
        two boxes of the same size.

    Raises:
        ValueError: the crops do not overlap.
    """
    top, left = max(first[0], second[0]), max(first[1], second[1])
    bottom = min(first[0], second[0]) + size[0]
    right = min(first[1], second[1]) + size[1]
    if bottom <= top or right <= left:
        raise ValueError(f"crops of {size} at {first} and {second} do not overlap")
    return (
        Box(top - first[0], left - first[1], bottom - first[0], right - first[1]),
        Box(top - second[0], left - second[1], bottom - second[0], right - second[1]),
    )
