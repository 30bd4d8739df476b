"""Kinds of shift: how an image is cut at an offset, and where two predictions are compared.

* "crop": crops of the image. Content leaves and enters at the borders, as in a video.
* "circular": the whole image, rolled. Nothing leaves, so only the sampling grid of the model moves
  over the content; but the seam cuts the content. Predictions are rolled back and compared over the
  whole image. An object that the seam cuts is usually inconsistent.
* "fractional": crops at multiples of a fraction of a pixel, interpolated bilinearly and rounded to
  8 bits. Boxes are compared exactly. Label maps and masks are compared at the nearest whole pixel,
  so a perfect model loses pixels at boundaries. One pixel at each border is left out.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .adapters.geometry import cut_prediction, move_boxes, roll_prediction
from .shifts import Box, Offset, Position, crop_size, draw_offsets, draw_positions

Size = tuple[int, int]


class ShiftKind(Protocol):
    """A kind of shift.

    A prediction is compared in a frame: a rectangle of whole pixels of the image.
    """

    @property
    def steps_per_pixel(self) -> int:
        """Steps of a sweep per pixel."""

    def size(self, height: int, width: int, max_shift: int) -> Size:
        """Size (height, width) of the model's inputs for an image, in pixels."""

    def draw(
        self, height: int, width: int, max_shift: int, *, seed: int, image_id: object, pair: int
    ) -> tuple[Position, Position]:
        """Draws the offsets of a pair; the key of the generator is (seed, image id, pair)."""

    def cut(self, image: np.ndarray, offset: Position, size: Size) -> np.ndarray:
        """The model's input (height, width, C) for an image (H, W, C) uint8 and an offset."""

    def frame(self, offset: Position, reference: Position) -> Offset:
        """Offset of the frame of a prediction; ``reference`` is the offset of the first crop."""

    def frame_size(self, size: Size) -> Size:
        """Size (height, width) of all frames."""

    def place(self, prediction: dict, offset: Position, reference: Position, size: Size) -> dict:
        """Converts a plain prediction for the input of ``size`` at ``offset`` to its frame."""


@dataclass(frozen=True)
class Crops:
    """Plain crops."""

    steps_per_pixel: int = 1

    def size(self, height: int, width: int, max_shift: int) -> Size:
        return crop_size(height, width, max_shift)

    def draw(
        self, height: int, width: int, max_shift: int, *, seed: int, image_id: object, pair: int
    ) -> tuple[Position, Position]:
        return draw_offsets(height, width, max_shift, seed=seed, image_id=image_id, pair=pair)

    def cut(self, image: np.ndarray, offset: Position, size: Size) -> np.ndarray:
        (y, x), (height, width) = map(int, offset), size
        return image[y : y + height, x : x + width].copy()

    def frame(self, offset: Position, reference: Position) -> Offset:
        return int(offset[0]), int(offset[1])

    def frame_size(self, size: Size) -> Size:
        return size

    def place(self, prediction: dict, offset: Position, reference: Position, size: Size) -> dict:
        return prediction


@dataclass(frozen=True)
class Circular(Crops):
    """Rolls of the whole image, at the offsets of plain crops."""

    def size(self, height: int, width: int, max_shift: int) -> Size:
        return height, width

    def cut(self, image: np.ndarray, offset: Position, size: Size) -> np.ndarray:
        return np.roll(image, (-int(offset[0]), -int(offset[1])), axis=(0, 1))

    def frame(self, offset: Position, reference: Position) -> Offset:
        return 0, 0

    def place(self, prediction: dict, offset: Position, reference: Position, size: Size) -> dict:
        return roll_prediction(prediction, (int(offset[0]), int(offset[1])), size)


@dataclass(frozen=True)
class Fractional(Crops):
    """Crops between pixels."""

    steps_per_pixel: int = 4

    def size(self, height: int, width: int, max_shift: int) -> Size:
        if min(height, width) < 5:
            raise ValueError(f"{height}x{width} pixels are too small, fractional shifts need 5x5")
        return crop_size(height, width, max_shift)

    def draw(
        self, height: int, width: int, max_shift: int, *, seed: int, image_id: object, pair: int
    ) -> tuple[Position, Position]:
        return draw_positions(
            height,
            width,
            max_shift,
            seed=seed,
            image_id=image_id,
            pair=pair,
            steps_per_pixel=self.steps_per_pixel,
        )

    def cut(self, image: np.ndarray, offset: Position, size: Size) -> np.ndarray:
        rows = _between(image, offset[0], size[0])
        columns = _between(rows.swapaxes(0, 1), offset[1], size[1])
        return np.rint(columns.swapaxes(0, 1)).astype(np.uint8, order="C")

    def frame(self, offset: Position, reference: Position) -> Offset:
        y, x = _nearest(offset, reference)
        return y + 1, x + 1

    def frame_size(self, size: Size) -> Size:
        return size[0] - 2, size[1] - 2

    def place(self, prediction: dict, offset: Position, reference: Position, size: Size) -> dict:
        y, x = _nearest(offset, reference)
        moved = move_boxes(prediction, (offset[0] - y, offset[1] - x))
        return cut_prediction(moved, Box(1, 1, size[0] - 1, size[1] - 1))


def _between(image: np.ndarray, start: float, length: int) -> np.ndarray:
    """Linear interpolation of rows ``start``, ``start`` + 1, ...; whole rows are unchanged."""
    row = math.floor(start)
    part = start - row
    if not part:
        return image[row : row + length]
    return (1 - part) * image[row : row + length] + part * image[row + 1 : row + 1 + length]


def _nearest(offset: Position, reference: Position) -> Offset:
    """Whole offset whose distance to the reference's is nearest to the true distance."""
    y, x = (
        math.floor(start) + math.floor(here - start + 0.5)
        for here, start in zip(offset, reference, strict=True)
    )
    return y, x


SHIFT_KINDS = ("crop", "circular", "fractional")
"""Names of the kinds of shift."""


def shift_kind(name: str, steps_per_pixel: int = 4) -> ShiftKind:
    """Builds a kind of shift.

    Args:
        name: name in :data:`SHIFT_KINDS`.
        steps_per_pixel: number of offsets per pixel along each axis; only fractional shifts have
            more than one.
    """
    if name == "fractional":
        return Fractional(steps_per_pixel)
    return {"crop": Crops, "circular": Circular}[name]()
