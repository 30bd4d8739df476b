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

from aa_detectron.utils.coco_rle import compressed

from .matching import match_instances
from .overlap import Inside, Shapes, box_areas, clip_boxes, cut_masks, mask_areas
from .shifts import Box, overlap_in_crops

FOUND_IOU = 0.5
"""Lowest IoU at which an instance finds an object."""
VISIBLE = 0.5
"""Minimum fraction of a counting object's area inside the overlap."""


def add_objects(record: dict, sides: Sequence[Inside], truth: dict) -> None:
    """Adds "objects" to the sections of a record of instances.

    Args:
        record: record of a pair.
        sides: instances of the two crops.
        truth: ground truth of the image, see :func:`~.instances.pair_record`.
    """
    visible = _overlap_in_image(record)
    categories = np.asarray(truth["classes"], np.int64)
    boxes = np.asarray(truth["boxes"], np.float64).reshape(-1, 4)
    whole = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    part = clip_boxes(boxes, visible)
    counts = _visible(box_areas(part), whole)
    shapes: list[Shapes] = [side.boxes for side in sides]
    record["bbox"]["objects"] = _objects(categories[counts], part[counts], sides, shapes)
    if "segm" in record and "masks" in truth:
        parts = cut_masks(truth["masks"], np.arange(len(categories)), visible)
        counts = _visible(mask_areas(parts), _whole_areas(truth["masks"]))
        chosen = [parts[i] for i in np.flatnonzero(counts)]
        shapes = [side.masks for side in sides]
        record["segm"]["objects"] = _objects(categories[counts], chosen, sides, shapes)


def _overlap_in_image(record: dict) -> Box:
    first, second = record["offsets"]
    box, _ = overlap_in_crops(first, second, record["size"])
    y, x = first
    return Box(y + box.y0, x + box.x0, y + box.y1, x + box.x1)


def _visible(parts: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return (parts > 0) & (parts >= VISIBLE * whole)


def _whole_areas(masks: np.ndarray | Sequence[dict]) -> np.ndarray:
    if isinstance(masks, np.ndarray):
        return np.count_nonzero(masks, axis=(1, 2)).astype(np.float64)
    return mask_areas(list(map(compressed, masks)))


def _objects(
    categories: np.ndarray, parts: Shapes, sides: Sequence[Inside], shapes: Sequence[Shapes]
) -> list[dict]:
    found = [
        _found(categories, parts, side, shape) for side, shape in zip(sides, shapes, strict=True)
    ]
    return [
        {"category": int(category), "found": [number in side for side in found]}
        for number, category in enumerate(categories)
    ]


def _found(categories: np.ndarray, parts: Shapes, side: Inside, shapes: Shapes) -> set[int | None]:
    """Indices of the objects that a crop's instances find."""
    if not len(shapes) or not len(parts):
        return set()
    ious = mask_util.iou(shapes, parts, [0] * len(parts))
    right = (side.classes[:, None] == categories[None]) & (ious >= FOUND_IOU)
    return set(match_instances(side.scores, np.where(right, ious, 0.0)))
