"""Where to cut shifted crops, and where the crops of a pair overlap.

Pairs are those of all three consistency metrics: two crops of (H - S) x (W - S), offsets
independent and uniform in {0..S}^2, redrawn when equal. Windows are those of the worst-shift AP:
one of (H - 41) x (W - 41) in the center, moved by fixed steps.
"""

from typing import NamedTuple

import numpy as np

from aa_detectron.utils.hashing import hash_key

WORST_SHIFTS = (1, 2, 5, 10, 20)
"""How far, in pixels, the window of the worst-shift AP moves up, down, left and right."""
MARGIN = 2 * max(WORST_SHIFTS) + 1
"""By which that window is smaller than the image."""

Offset = tuple[int, int]
"""(y, x) of a crop's top left pixel in its image."""


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
    """S for an image: ``max_shift``, or a quarter of the shorter side where that is less."""
    return min(max_shift, min(height, width) // 4)


def draw_offsets(
    height: int, width: int, max_shift: int, *, seed: int, image_id: object, pair: int
) -> tuple[Offset, Offset]:
    """The two offsets of a pair; a function of the arguments alone.

    The generator is counter-based (Philox) with (seed, image id, pair number) for its key, and only
    its raw words are used, whose sequence NumPy guarantees.

    Args:
        height, width: of the image, in pixels.
        max_shift: S of the metric.
        seed: any integer.
        image_id: of any type; its ``str`` counts.
        pair: number of the pair within the image, from 0.

    Raises:
        ValueError: no two different offsets exist (a side below 4 pixels, or ``max_shift`` < 1).
    """
    shift = effective_shift(height, width, max_shift)
    if shift < 1:
        raise ValueError(f"{height}x{width} pixels leave no room for a shift")
    generator = np.random.Philox(key=hash_key(seed, image_id, pair))
    while True:
        # The remainder's bias, S / 2^64, is far below anything that could be measured.
        first_y, first_x, second_y, second_x = (
            int(word) % (shift + 1) for word in generator.random_raw(4)
        )
        if (first_y, first_x) != (second_y, second_x):
            return (first_y, first_x), (second_y, second_x)


def window_offsets(height: int, width: int) -> list[Offset]:
    """Offsets of the windows of the worst-shift AP, each of ``crop_size(height, width, MARGIN)``.

    Small images have a smaller margin, :func:`effective_shift`, and only the shifts that it allows.

    Args:
        height, width: of the image, in pixels.

    Returns:
        the center, then up, down, left and right of it for every shift.

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
    """(height, width) of all crops of an image."""
    shift = effective_shift(height, width, max_shift)
    return height - shift, width - shift


def overlap_in_crops(first: Offset, second: Offset, size: tuple[int, int]) -> tuple[Box, Box]:
    """The pixels that both crops show, in the coordinates of each crop.

    Args:
        first, second: offsets of the crops.
        size: (height, width) of both crops.

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
