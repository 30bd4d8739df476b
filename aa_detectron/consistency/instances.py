"""Consistency of instances under shifts: mAISC (Zou et al., BMVC 2020).

The sections "segm" and "bbox" of a record, see :mod:`~aa_detectron.consistency.records`.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from aa_detectron.errors import InvalidOption
from aa_detectron.utils.coco_rle import cut_rle

from .intervals import percent, score_by_shift, score_fractions
from .jitter import score_jitter
from .records import METRICS, THRESHOLDS, Fraction, consistent_fraction, start_record
from .shifts import Box, Offset, overlap_in_crops

SIZES = {"s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, math.inf)}
"""COCO's area ranges: small is below 32^2 pixels, large is from 96^2 pixels on."""

Shapes = list[dict] | np.ndarray
"""COCO RLEs, or (N, 4) boxes (x, y, width, height)."""


COLUMNS = ("boxes", "classes", "index", "masks")
"""Keys of a prediction with a value for each instance, as "scores" has."""

Prediction = dict[str, Any]
"""The instances that a model finds in a crop, in pixels of the crop:

* "boxes": (N, 4) x0, y0, x1, y1;
* "scores": (N,);
* "classes": (N,) integers;
* "masks": (N, height, width) bool, or N COCO RLEs; missing for a model without masks;
* "index": (N,) places in the model's output, if these are not 0 to N - 1.
"""


def pair_record(
    image_id: Any,
    number: int,
    offsets: tuple[Offset, Offset],
    size: tuple[int, int],
    first: Prediction,
    second: Prediction,
    *,
    score_thresh: float = 0.5,
    match_class: bool = True,
) -> dict:
    """Compares the instances of the two crops of a pair inside their overlap.

    Args:
        image_id: id of the image, a number or string.
        number: number of the pair within the image.
        offsets: offsets ((y, x), (y, x)) of the two crops in the image.
        size: size (height, width) of both crops in pixels.
        first, second: predictions for each crop.
        score_thresh: minimum score of an instance that counts.
        match_class: whether only instances of the same class can match.

    Returns:
        record with the sections "bbox" and, for a model with masks, "segm".

    Raises:
        InvalidOption: a prediction with fields of unequal lengths, or with masks of another size.
    """
    predictions, overlaps = (first, second), overlap_in_crops(*offsets, size)
    columns = [key for key in COLUMNS if key in first or key in second]
    for prediction in predictions:
        _check(prediction, columns, size)
    kept = [np.flatnonzero(counting(p["scores"], score_thresh)) for p in predictions]
    crops = list(map(_columns, predictions, kept))
    record = start_record(image_id, number, offsets, size)
    if any("masks" in prediction for prediction in predictions):
        masks = [
            cut_masks(prediction.get("masks", ()), index, box)
            for prediction, index, box in zip(predictions, kept, overlaps, strict=True)
        ]
        record["segm"] = compare_instances(crops, masks, mask_areas, match_class)
    boxes = [
        clip_boxes(np.asarray(prediction["boxes"]).reshape(-1, 4)[index], box)
        for prediction, index, box in zip(predictions, kept, overlaps, strict=True)
    ]
    record["bbox"] = compare_instances(crops, boxes, box_areas, match_class)
    return record


def counting(scores: Sequence[float] | np.ndarray, score_thresh: float) -> np.ndarray:
    """Which scores reach the threshold, (N,) bool.

    The comparison is in float32, as in models. So a float32 score that is read from a file as
    float64 gives the same result.
    """
    return np.asarray(scores, np.float32) >= np.float32(score_thresh)


def _check(prediction: Prediction, columns: list[str], size: tuple[int, int]) -> None:
    number = len(prediction["scores"])
    if not number:  # some models leave out the masks if there are no instances
        return
    for key in columns:
        found = len(prediction.get(key, ()))
        if found != number:
            raise InvalidOption(f"number of {key}", found, f"{number}, as many as scores")
    masks = prediction.get("masks", ())
    shapes = [masks.shape[1:]] if isinstance(masks, np.ndarray) else [m["size"] for m in masks]
    for shape in shapes:
        if tuple(shape) != tuple(size):
            raise InvalidOption("size of masks", tuple(shape), f"{tuple(size)}, as the crop")


def _columns(prediction: Prediction, kept: np.ndarray) -> list[list]:
    """Index in the model's output, category and score of the instances that count, as lists."""
    index = np.asarray(prediction.get("index", np.arange(len(prediction["scores"]))))
    columns = index, np.asarray(prediction["classes"]), np.asarray(prediction["scores"])
    return [column[kept].tolist() for column in columns]


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


def compare_instances(
    crops: Sequence[list[list]],
    shapes: Sequence[Shapes],
    areas: Callable[[Any], np.ndarray],
    match_class: bool,
) -> dict:
    """Makes the section "segm" or "bbox" of a record: drops empty shapes and matches the others.

    Args:
        crops: columns index, category and score of the instances, for each crop.
        shapes: shapes of the instances inside the overlap, for each crop.
        areas: function that returns the areas of shapes.
        match_class: whether only instances of the same class can match.
    """
    (first, first_shapes), (second, second_shapes) = (
        _non_empty(crop, shape, areas(shape)) for crop, shape in zip(crops, shapes, strict=True)
    )
    ious = np.zeros((len(first), len(second)))
    if first and second:
        ious = mask_util.iou(first_shapes, second_shapes, [0] * len(second))
    if match_class:
        classes = [np.array([i["category"] for i in side], int) for side in (first, second)]
        ious = np.where(classes[0][:, None] == classes[1][None, :], ious, 0.0)
    matches = match_instances(np.array([i["score"] for i in first]), ious)
    for index, match in enumerate(matches):
        first[index]["match"] = match
        first[index]["iou"] = 0.0 if match is None else float(ious[index, match])
    return {"first": first, "second": second}


def _non_empty(columns: list[list], shapes: Shapes, areas: np.ndarray) -> tuple[list[dict], Shapes]:
    """Instances with a part in the overlap, as dicts, and their shapes there."""
    keys, rows = ("index", "category", "score", "area"), zip(*columns, areas.tolist(), strict=True)
    kept = areas > 0
    instances = [dict(zip(keys, row, strict=True)) for row in itertools.compress(rows, kept)]
    if not isinstance(shapes, np.ndarray):
        return instances, list(itertools.compress(shapes, kept))
    for instance, box in zip(instances, shapes[kept].tolist(), strict=True):
        instance["box"] = box
    return instances, shapes[kept]


def match_instances(scores: np.ndarray, ious: np.ndarray) -> list[int | None]:
    """Matches each instance, in order of falling score, with the free instance of highest IoU.

    The matching does not depend on the IoU threshold of the metric, so one matching serves every
    threshold. Instances with an IoU of 0 are not matched. Ties go to the lower index.

    Args:
        scores: scores (N,) of the first crop's instances.
        ious: IoUs (N, M) of the two crops' instances, 0 if a match is not allowed.

    Returns:
        index of the match for each of the N instances, or None.
    """
    free = np.ones(ious.shape[1], bool)
    matches: list[int | None] = [None] * len(scores)
    for index in np.argsort(-scores, kind="stable"):
        candidates = np.where(free, ious[index], 0.0)
        if candidates.any():
            matches[index] = best = int(candidates.argmax())
            free[best] = False
    return matches


def score_pairs(
    records: list[dict], task: str, class_names: Sequence[str] | None = None
) -> dict[str, float]:
    """Computes all scores of a task from the records, in percent (NaN if no pair counts).

    * mAISC: mean of AISC at IoU > 0.9 over the pairs in which M(b) is not empty, with the 95 %
      bootstrap interval over images;
    * mAISC50, mAISC75: the same mean at IoU > 0.5 and 0.75;
    * mAISCs, mAISCm, mAISCl: the same mean over instances of COCO's small, medium and large areas;
    * symmetric: mean of :func:`~aa_detectron.consistency.records.symmetric_fraction` over the pairs
      in which M(b) or M(c) is not empty;
    * pairs, empty: number of pairs in the mean, and number of pairs left out;
    * names with a hyphen: mAISC per class and per distance between the two crops;
    * jitter and flicker: see :func:`~aa_detectron.consistency.jitter.score_jitter`;
    * consistent_and_correct, with _low and _high: see :mod:`.correct`; only if the records have
      "objects".

    Args:
        records: records of pairs, see :mod:`~aa_detectron.consistency.records`.
        task: "segm" or "bbox".
        class_names: names of the categories; None for no scores per class.
    """
    shape = {"segm": "mask", "bbox": "box"}[task]
    fractions = {name: METRICS[f"{shape} {name}"].fraction for name in THRESHOLDS}
    main = fractions["mAISC"]

    def mean_of(counts: Callable[[dict], bool]) -> float:
        return percent(map(partial(consistent_fraction, task=task, counts=counts), records))

    scores = score_fractions("mAISC", records, main)
    scores |= {name: percent(map(fraction, records)) for name, fraction in fractions.items()}
    scores["symmetric"] = percent(map(METRICS[f"{shape} mAISC symmetric"].fraction, records))
    for size, (low, high) in SIZES.items():
        scores[f"mAISC{size}"] = mean_of(partial(_has_area, low, high))
    for category, name in enumerate(class_names or []):
        scores[f"mAISC-{name}"] = mean_of(partial(_has_category, category))
    scores |= score_jitter(records, task)
    if any("objects" in record[task] for record in records):
        scores |= _score_objects(records, METRICS[f"{shape} consistent and correct"].fraction)
    return scores | score_by_shift("mAISC", records, main)


def _has_area(low: float, high: float, instance: dict) -> bool:
    return low <= instance["area"] < high


def _has_category(category: int, instance: dict) -> bool:
    return instance["category"] == category


def _score_objects(records: list[dict], fraction: Fraction) -> dict[str, float]:
    key, scores = "consistent_and_correct", score_fractions("mean", records, fraction)
    return {key: scores["mean"], f"{key}_low": scores["low"], f"{key}_high": scores["high"]}
