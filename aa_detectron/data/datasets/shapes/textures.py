"""Textures of Shapes: fine periodic patterns, smooth noise and photographs.

Everything is drawn with integers, so that it is the same on every machine. All draws come from a
`numpy.random.RandomState`, whose stream NumPy has frozen (NEP 19).
"""

import functools
import importlib.util
import math
import os

import numpy as np
from PIL import Image

from .geometry import cos_sin

PATTERNS = ["grating", "stripes", "checker", "dots"]
FINEST, COARSEST = 2, 8  # periods of the patterns in px
UNIT = 256  # amplitude of waves and smooth noise

# Photographs in scikit-image's wheel. Only PNG, since JPEG decoders differ by a level. Only one
# view of the stereo pair, since the other view shows regions that training must not see.
PHOTOS = [
    "astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel",
    "motorcycle_left",
]  # fmt: skip
TRAIN_FRACTION = 70  # % of a photograph's width, from its left, that training sees

_TURN = 1024
_SINE = np.array([round(UNIT * math.sin(2 * math.pi * i / _TURN)) for i in range(_TURN)], np.int32)


def _wave(
    degrees: int, period16: int, start: int, height: int, width: int, sharp: bool
) -> np.ndarray:
    """A plane wave of a period given in 1/16 px: (height, width) int32 in -UNIT..UNIT."""
    step = 64 * _TURN * 16 / period16
    dx, dy = (round(step * part) for part in cos_sin(degrees))
    phase = start * 64 + np.arange(width) * dx + (np.arange(height) * dy)[:, None]
    wave = _SINE[(phase >> 6) % _TURN]
    # A steeper wave has edges about a pixel wide: squares where the period allows it, and a mere
    # sine at the finest, as optics would leave it.
    return np.clip(wave * period16 // 32, -UNIT, UNIT) if sharp else wave


def pattern(rng: np.random.RandomState, height: int, width: int) -> np.ndarray:
    """One fine periodic pattern of random kind, period and direction.

    Returns:
        (height, width) int32 in -UNIT..UNIT.
    """
    kind = PATTERNS[rng.randint(len(PATTERNS))]
    degrees, period16 = rng.randint(180), rng.randint(16 * FINEST, 16 * COARSEST + 1)
    u, v = (
        _wave(degrees + turn, period16, rng.randint(_TURN), height, width, kind != "grating")
        for turn in (0, 90)
    )
    if kind == "checker":
        return u * v // UNIT
    if kind == "dots":
        return np.clip(u + v - UNIT // 2, -UNIT, UNIT)
    return u


def smooth_noise(rng: np.random.RandomState, height: int, width: int, cell: int) -> np.ndarray:
    """Random values on a grid with `cell` px between its points, interpolated linearly.

    Returns:
        (height, width) int32 in -UNIT..UNIT.
    """
    grid = rng.randint(-UNIT, UNIT + 1, (height // cell + 2, width // cell + 2))
    y, x = np.arange(height), np.arange(width)
    fy = (y % cell)[:, None]
    rows = (grid[y // cell] * (cell - fy) + grid[y // cell + 1] * fy) // cell
    fx = x % cell
    return ((rows[:, x // cell] * (cell - fx) + rows[:, x // cell + 1] * fx) // cell).astype("i4")


@functools.cache
def _photo_region(name: str, split: str, factor: int) -> np.ndarray:
    """The part of a photograph that belongs to a split, shrunk by an integer: (H, W, 3) int32."""
    package = importlib.util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("photographs come with scikit-image: pip install scikit-image")
    path = os.path.join(package.submodule_search_locations[0], "data", f"{name}.png")
    with Image.open(path) as image:
        photo = np.asarray(image.convert("RGB"), dtype=np.int32)
    border = photo.shape[1] * TRAIN_FRACTION // 100
    photo = photo[:, :border] if split == "train" else photo[:, border:]
    height, width = photo.shape[0] // factor, photo.shape[1] // factor
    blocks = photo[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    return (blocks.sum(axis=(1, 3)) + factor**2 // 2) // factor**2


def _mirrored(rng: np.random.RandomState, length: int, available: int) -> np.ndarray:
    """`length` consecutive indices below `available`, back and forth if `length` is greater."""
    index = rng.randint(max(1, available - length + 1)) + np.arange(length)
    index %= 2 * available
    return np.minimum(index, 2 * available - 1 - index)


def photo_patch(rng: np.random.RandomState, height: int, width: int, split: str) -> np.ndarray:
    """A patch of a random photograph at its own resolution or half of it.

    Args:
        split: "train" or "val"; the two never share a pixel.

    Returns:
        (height, width, 3) int32 in 0..255.
    """
    photo = _photo_region(PHOTOS[rng.randint(len(PHOTOS))], split, 1 + rng.randint(2))
    rows = _mirrored(rng, height, photo.shape[0])
    return photo[rows[:, None], _mirrored(rng, width, photo.shape[1])]
