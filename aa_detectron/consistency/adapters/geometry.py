"""Cutting, moving and rolling of plain predictions."""

from collections.abc import Callable, Sequence

import numpy as np
import pycocotools.mask as mask_util

from ..shifts import Box, Offset, Position


def move_boxes(prediction: dict, step: Position) -> dict:
    """Returns the prediction with its boxes moved by ``step`` (y, x) in pixels."""
    if "boxes" not in prediction:
        return prediction
    y, x = step
    boxes = np.asarray(prediction["boxes"], np.float64).reshape(-1, 4)
    return prediction | {"boxes": boxes + [x, y, x, y]}


def cut_prediction(prediction: dict, box: Box) -> dict:
    """Cuts a prediction to a part of its crop.

    Args:
        prediction: plain prediction, see :mod:`~aa_detectron.consistency.adapters.predictions`.
        box: part of the crop.

    Returns:
        prediction in pixels of the part. Boxes are moved, but not clipped. Classes and logits are
        unchanged.
    """
    return _map_pixels(
        move_boxes(prediction, (-box.y0, -box.x0)), lambda maps: maps[(..., *box.slices)]
    )


def roll_prediction(prediction: dict, step: Offset, size: tuple[int, int]) -> dict:
    """Rolls a prediction as ``np.roll`` rolls its image.

    Args:
        prediction: plain prediction, see :mod:`~aa_detectron.consistency.adapters.predictions`.
        step: step (y, x) in pixels, down and to the right.
        size: size (height, width) of the image in pixels.

    Returns:
        prediction whose maps are rolled. The center of each box is inside the image, the box may
        reach out of it.
    """
    rolled = move_boxes(prediction, step)
    if "boxes" in rolled:
        boxes = rolled["boxes"]
        sides = np.array([size[1], size[0]], np.float64)
        center = (boxes[:, :2] + boxes[:, 2:]) / 2
        boxes = boxes - np.tile(np.floor(center / sides) * sides, 2)
        rolled = rolled | {"boxes": boxes}
    return _map_pixels(rolled, lambda maps: np.roll(maps, step, axis=(-2, -1)))


def _map_pixels(prediction: dict, change: Callable[[np.ndarray], np.ndarray]) -> dict:
    """Changes label maps (H, W) and masks (N, H, W)."""
    changed = dict(prediction)
    if "sem_seg" in prediction:
        changed["sem_seg"] = change(np.asarray(prediction["sem_seg"]))
    if len(prediction.get("masks", ())):
        changed["masks"] = change(decode_masks(prediction["masks"]))
    return changed


def decode_masks(masks: np.ndarray | Sequence[dict]) -> np.ndarray:
    """Masks (N, height, width) bool from masks or N COCO RLEs, one or more."""
    if isinstance(masks, np.ndarray):
        return masks.astype(bool, copy=False)
    return np.stack([mask_util.decode(mask) for mask in masks]).astype(bool)
