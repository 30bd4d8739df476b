"""The instances of a crop inside the overlap of its pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from aa_detectron.utils.coco_rle import cut_rle

from .shifts import Box

Shapes = list[dict] | np.ndarray
"""COCO RLEs, or (N, 4) boxes (x, y, width, height)."""
Prediction = dict[str, Any]
"""The instances that a model finds in a crop, in pixels of the crop:

* "boxes": (N, 4) x0, y0, x1, y1;
* "scores": (N,);
* "classes": (N,) integers;
* "masks": (N, height, width) bool, or N COCO RLEs; missing for a model without masks;
* "index": (N,) places in the model's output.
"""


@dataclass(frozen=True, eq=False)
class Inside:
    """The instances that reach the score threshold, cut to the overlap."""

    index: np.ndarray
    """(N,) integers, places in the model's output."""
    classes: np.ndarray
    """(N,) integers."""
    scores: np.ndarray
    """(N,)."""
    boxes: np.ndarray
    """(N, 4) x, y, width, height, relative to the overlap."""
    masks: list[dict]
    """N COCO RLEs of the overlap; empty for a model without masks."""


def cut_to_overlap(prediction: Prediction, overlap: Box) -> Inside:
    """Cuts the instances of a crop to the overlap of the pair.

    Args:
        prediction: instances of the crop that count, with "index".
        overlap: region of the crop.
    """
    every = np.arange(len(prediction["scores"]))
    return Inside(
        prediction["index"],
        prediction["classes"],
        prediction["scores"],
        clip_boxes(prediction["boxes"], overlap),
        cut_masks(prediction["masks"], every, overlap) if "masks" in prediction else [],
    )


def counting(scores: Sequence[float] | np.ndarray, score_thresh: float) -> np.ndarray:
    """Which scores reach the threshold, (N,) bool.

    The comparison is in float32, as in models. So a float32 score that is read from a file as
    float64 gives the same result.
    """
    return np.asarray(scores, np.float32) >= np.float32(score_thresh)


def cut_masks(masks: np.ndarray | Sequence[dict], index: np.ndarray, box: Box) -> list[dict]:
    """Cuts masks of a crop to a box; returns COCO RLEs.

    Args:
        masks: masks (N, height, width) or N COCO RLEs.
        index: indices (M,) of the masks to cut, in order.
        box: region of the crop.
    """
    if not len(index):
        return []
    if not isinstance(masks, np.ndarray):
        return [cut_rle(masks[i], *box.slices) for i in index]
    is_all = len(index) == len(masks)  # all masks are used, so none is copied
    pixels = masks[(slice(None) if is_all else index, *box.slices)]
    columns = _transpose(pixels.astype(bool, copy=False))
    return mask_util.encode(columns.view(np.uint8).transpose(2, 1, 0))


def _transpose(masks: np.ndarray) -> np.ndarray:
    """Transposes masks (N, height, width) bool to (N, width, height), which pycocotools needs.

    Copying across rows is slow, so only the rectangle around the pixels of each mask is copied.
    """
    number, height, width = masks.shape
    columns = np.zeros((number, width, height), bool)
    in_rows, in_columns = np.asarray(masks.any(axis=2)), np.asarray(masks.any(axis=1))
    for column, mask, *inside in zip(columns, masks, in_rows, in_columns, strict=True):
        if inside[0].any():
            rows, places = map(_span, inside)
            column[places, rows] = mask[rows, places].T
    return columns


def _span(inside: np.ndarray) -> slice:
    """Slice from the first to the last True value."""
    return slice(int(inside.argmax()), len(inside) - int(inside[::-1].argmax()))


def clip_boxes(boxes: np.ndarray, box: Box) -> np.ndarray:
    """Clips boxes to a box.

    Args:
        boxes: boxes (N, 4) x0, y0, x1, y1.
        box: region of the crop.

    Returns:
        boxes (N, 4) float64 x, y, width, height, relative to the top left corner of ``box``.
    """
    corners = boxes.astype(np.float64) - [box.x0, box.y0, box.x0, box.y0]
    corners = np.clip(corners, 0, [box.x1 - box.x0, box.y1 - box.y0] * 2)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def mask_areas(masks: list[dict]) -> np.ndarray:
    """Areas (N,) float64 of COCO RLEs in pixels."""
    return np.array([mask_util.area(mask) for mask in masks], np.float64)


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Areas (N,) of boxes (x, y, width, height) in square pixels."""
    return boxes[:, 2] * boxes[:, 3]
