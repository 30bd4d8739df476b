"""Panels of pictures: pale enlarged images side by side, and a legend below them."""

from os import PathLike
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from aa_detectron.utils.files import replacing

INCONSISTENT = (0.9, 0.1, 0.1)
CONSISTENT = (  # no red among them
    (0.12, 0.47, 0.71),
    (0.17, 0.63, 0.17),
    (0.58, 0.40, 0.74),
    (0.09, 0.75, 0.81),
    (0.74, 0.74, 0.13),
    (1.00, 0.60, 0.20),
)
"""RGB, 0 to 1."""
SATURATION = 0.3  # of the image's own colors, which could be confused with drawn colors
SIDE = 480  # pixels; smaller images are enlarged by an integer factor
GAP = 8
BACKGROUND = (90, 90, 90)  # of a legend's swatches, so that white is visible
FONT_SIZE, ROW = 14, 22
SWATCH = 26  # pixels, width


class Entry(NamedTuple):
    """An entry of a legend."""

    colors: tuple[tuple[float, float, float], ...]
    """RGB, 0 to 1; none for a dashed white line."""
    text: str


def pale(image: np.ndarray) -> np.ndarray:
    """An (H, W, 3) uint8 RGB image in pale colors, as a background."""
    gray = image.mean(axis=2, keepdims=True)
    return (gray + SATURATION * (image - gray)).round().astype(np.uint8)


def enlargement(image: np.ndarray) -> int:
    """The factor by which an (H, W, ...) image is enlarged, 1 or more."""
    return max(1, SIDE // max(image.shape[:2]))


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Repeats the pixels of an (H, W, ...) array in both directions."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def side_by_side(panels: list[np.ndarray]) -> np.ndarray:
    """Joins (H, W, 3) uint8 panels of equal height, with white gaps between them."""
    gap = np.full((panels[0].shape[0], GAP, 3), 255, np.uint8)
    parts = [part for panel in panels for part in (gap, panel)]
    return np.concatenate(parts[1:], axis=1)


def add_key(image: np.ndarray, entries: list[Entry]) -> np.ndarray:
    """Adds a legend below an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        entries: entries of the legend; they fill as many rows as they need.

    Returns:
        (H + rows, W, 3) uint8 RGB.
    """
    font, width = ImageFont.load_default(FONT_SIZE), image.shape[1]
    places, x, y = [], 4, 4
    for entry in entries:
        needed = SWATCH + 6 + round(font.getlength(entry.text))
        if x > 4 and x + needed > width:
            x, y = 4, y + ROW
        places.append((x, y))
        x += needed + 18
    key = Image.new("RGB", (width, y + ROW), "white")
    draw = ImageDraw.Draw(key)
    for (x, y), entry in zip(places, entries, strict=True):
        _draw_swatch(draw, x, y, entry.colors)
        draw.text((x + SWATCH + 6, y), entry.text, "black", font)
    return np.concatenate([image, np.asarray(key)])


def _draw_swatch(draw: ImageDraw.ImageDraw, x: int, y: int, colors: tuple) -> None:
    bottom = y + ROW - 7
    draw.rectangle((x, y, x + SWATCH, bottom), BACKGROUND)
    width = SWATCH / max(len(colors), 1)
    for number, color in enumerate(colors):
        fill = tuple(round(255 * channel) for channel in color)
        draw.rectangle((x + number * width, y, x + (number + 1) * width, bottom), fill)
    draw.rectangle((x, y, x + SWATCH, bottom), outline=BACKGROUND)  # around white
    if not colors:
        middle = (y + bottom) // 2
        for dash in range(x + 3, x + SWATCH - 4, 8):
            draw.line((dash, middle, dash + 5, middle), "white", 2)


def save_image(path: str | PathLike, image: np.ndarray) -> None:
    """Writes an (H, W, 3) uint8 RGB image as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
