"""Consistent and correct: the fraction of found objects that both crops find.

The field "objects" of a record's sections, see :mod:`~aa_detectron.consistency.records`. An object
counts if the overlap of the crops holds at least half of the object's area. A crop finds an object
if an instance of the right class, at or above the score threshold, has an IoU of at least 0.5 with
the object's part in the overlap. In order of falling score, each instance finds one object at most,
and each object is found once.
"""

from collections.abc import Sequence

import numpy as np
import pycocotools.mask as mask_util

from .instances import (
    Prediction,
    Shapes,
    box_areas,
    clip_boxes,
    counting,
    cut_masks,
    mask_areas,
    match_instances,
)
from .shifts import Box, overlap_in_crops

FOUND_IOU = 0.5
"""Lowest IoU at which an instance finds an object."""
VISIBLE = 0.5
"""Minimum fraction of a counting object's area inside the overlap."""


def add_objects(
    record: dict, predictions: Sequence[Prediction], truth: dict, score_thresh: float
) -> None:
    """Adds "objects" to the sections of a record of instances.

    Args:
        record: record of a pair.
        predictions: plain predictions for the two crops.
        truth: ground truth in pixels of the image: "boxes" (N, 4) x0, y0, x1, y1, "classes" (N,),
            and optional "masks", N COCO RLEs or (N, height, width) bool.
        score_thresh: minimum score of an instance that counts.
    """
    size, offsets = record["size"], record["offsets"]
    overlaps = overlap_in_crops(offsets[0], offsets[1], size)
    y, x = np.add(offsets[0], overlaps[0][:2]).tolist()
    visible = Box(y, x, y + overlaps[0].y1 - overlaps[0].y0, x + overlaps[0].x1 - overlaps[0].x0)
    kept = [np.flatnonzero(counting(p["scores"], score_thresh)) for p in predictions]
    categories = np.asarray(truth["classes"], np.int64)
    boxes = np.asarray(truth["boxes"], np.float64).reshape(-1, 4)
    whole = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    shapes = [
        clip_boxes(np.asarray(p["boxes"]).reshape(-1, 4)[index], box)
        for p, index, box in zip(predictions, kept, overlaps, strict=True)
    ]
    part = clip_boxes(boxes, visible)
    counts = _visible(box_areas(part), whole)
    sides = list(zip(predictions, kept, shapes, strict=True))
    record["bbox"]["objects"] = _objects(categories[counts], part[counts], sides)
    if "segm" in record and "masks" in truth:
        masks: list = [
            cut_masks(p.get("masks", ()), index, box)
            for p, index, box in zip(predictions, kept, overlaps, strict=True)
        ]
        parts = cut_masks(truth["masks"], np.arange(len(categories)), visible)
        counts = _visible(mask_areas(parts), _whole_areas(truth["masks"]))
        sides = list(zip(predictions, kept, masks, strict=True))
        chosen = [parts[i] for i in np.flatnonzero(counts)]
        record["segm"]["objects"] = _objects(categories[counts], chosen, sides)


def _visible(parts: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return (parts > 0) & (parts >= VISIBLE * whole)


def _whole_areas(masks: np.ndarray | Sequence[dict]) -> np.ndarray:
    if isinstance(masks, np.ndarray):
        return np.count_nonzero(masks, axis=(1, 2)).astype(np.float64)
    return mask_areas(list(masks))


def _objects(categories: np.ndarray, parts: Shapes, sides: Sequence[tuple]) -> list[dict]:
    found = [
        _found(categories, parts, p["classes"][kept], p["scores"][kept], shapes)
        for p, kept, shapes in sides
    ]
    return [
        {"category": int(category), "found": [number in side for side in found]}
        for number, category in enumerate(categories)
    ]


def _found(
    categories: np.ndarray, parts: Shapes, classes: np.ndarray, scores: np.ndarray, shapes: Shapes
) -> set[int | None]:
    """Indices of the objects that a crop's instances find."""
    if not len(shapes) or not len(parts):
        return set()
    ious = mask_util.iou(shapes, parts, [0] * len(parts))
    right = (classes[:, None] == categories[None]) & (ious >= FOUND_IOU)
    return set(match_instances(np.asarray(scores), np.where(right, ious, 0.0)))
