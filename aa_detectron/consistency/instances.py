"""Consistency of instances under shifts, as pure functions: mAISC (Zou et al., BMVC 2020).

The sections of a record, see :mod:`~aa_detectron.consistency.records`, are

    "segm": {"first": [{"index", "category", "score", "area", "match", "iou"}, ...],
             "second": [{"index", "category", "score", "area"}, ...]},
    "bbox": {...}

"first" and "second" are the instances M(b) and M(c) of the two crops, cut to the overlap; "index"
is the place in the model's output, "match" one in "second" or None, "iou" that of the match (0
without one), "area" is in pixels of the original image. A detector without masks has no "segm".
"""

import math

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.structures import Boxes, Instances

from aa_detectron.consistency.shifts import Box, overlap_in_crops

from .records import percent, score_by_shift, score_shares, start_record

THRESHOLDS = {"mAISC": 0.9, "mAISC50": 0.5, "mAISC75": 0.75}
SIZES = {"s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, math.inf)}
"""COCO's: small below 32^2 pixels, large from 96^2 on."""


def pair_record(
    image_id,
    number: int,
    offsets,
    first: Instances,
    second: Instances,
    *,
    score_thresh: float = 0.5,
    match_class: bool = True,
) -> dict:
    """Compares the instances of the two crops of a pair inside their overlap.

    Args:
        image_id: a number or string.
        number: of the pair within the image.
        offsets: ((y, x), (y, x)) of the crops.
        first, second: what a model returned for each crop: ``scores``, ``pred_classes``,
            ``pred_boxes`` and, where it has masks, ``pred_masks`` (N, height, width); all in
            pixels of the crop, both crops of the same size.
        score_thresh: instances with a lower score do not count.
        match_class: only instances of the same class can match.

    Returns:
        the record with its sections.
    """
    size = first.image_size
    outputs, overlaps = (first, second), overlap_in_crops(*offsets, size)
    crops = [_above(output, score_thresh) for output in outputs]
    record = start_record(image_id, number, offsets, size)
    if any(output.has("pred_masks") for output in outputs):
        indices = [crop.index for crop in crops]
        masks = list(map(pack_masks, outputs, indices, overlaps))
        record["segm"] = compare_instances(crops, masks, mask_areas, mask_iou, match_class)
    boxes = [clip_boxes(crop.pred_boxes, o) for crop, o in zip(crops, overlaps, strict=True)]
    record["bbox"] = compare_instances(crops, boxes, box_areas, box_iou, match_class)
    return record


def pack_masks(crop: Instances, index: torch.Tensor, box: Box) -> np.ndarray:
    """Masks of a crop inside a box, a bit for each pixel.

    Args:
        crop: with ``pred_masks``; may be without if it is empty.
        index: (N,) the wanted ones' places.
        box: the region.

    Returns:
        (N, words) uint64.
    """
    if not len(index):  # then some models leave the masks out
        return np.zeros((0, 0), np.uint64)
    rows, columns = box.slices
    pixels = crop.pred_masks[index, rows, columns].flatten(1).bool().cpu().numpy()
    words = np.zeros((len(pixels), -(-pixels.shape[1] // 64)), np.uint64)
    octets = np.packbits(pixels, axis=1)
    words.view(np.uint8)[:, : octets.shape[1]] = octets
    return words


def clip_boxes(boxes: Boxes, box: Box) -> np.ndarray:
    """Boxes inside a box: (N, 4) float64, x, y, width, height, from the corner of ``box``."""
    corners = boxes.tensor.detach().cpu().double().numpy() - [box.x0, box.y0, box.x0, box.y0]
    corners = np.clip(corners, 0, [box.x1 - box.x0, box.y1 - box.y0] * 2)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def _above(crop: Instances, score_thresh: float) -> Instances:
    """Those that count, without masks, with their ``index`` in the model's output."""
    index = torch.nonzero(crop.scores >= score_thresh).flatten()
    fields = {key: crop.get(key)[index] for key in ("scores", "pred_classes", "pred_boxes")}
    return Instances(crop.image_size, index=index, **fields)


def compare_instances(
    crops: list[Instances], shapes: list[np.ndarray], areas, iou, match_class: bool
) -> dict:
    """Drops empty shapes and matches the rest: the "segm" or "bbox" of a record.

    Args:
        crops: the instances of both.
        shapes: an array for each crop, whose rows are its instances'.
        areas, iou: of such arrays: (N, ...) to (N,) pixels; (N, ...) and (M, ...) to (N, M).
        match_class: only instances of the same class can match.
    """
    (first, first_shapes), (second, second_shapes) = (
        _non_empty(crop, shape, areas(shape)) for crop, shape in zip(crops, shapes, strict=True)
    )
    ious = np.zeros((len(first), len(second)))
    if first and second:
        ious = iou(first_shapes, second_shapes)
    if match_class:
        classes = [np.array([i["category"] for i in side], int) for side in (first, second)]
        ious = np.where(classes[0][:, None] == classes[1][None, :], ious, 0.0)
    matches = match_instances(np.array([i["score"] for i in first]), ious)
    for index, match in enumerate(matches):
        first[index]["match"] = match
        first[index]["iou"] = 0.0 if match is None else float(ious[index, match])
    return {"first": first, "second": second}


def _non_empty(
    crop: Instances, shapes: np.ndarray, areas: np.ndarray
) -> tuple[list[dict], np.ndarray]:
    """Instances with a part in the overlap, as dicts, and their shapes there."""
    columns = crop.index.tolist(), crop.pred_classes.tolist(), crop.scores.tolist(), areas.tolist()
    keys = "index", "category", "score", "area"
    instances = [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
    return [i for i in instances if i["area"] > 0], shapes[areas > 0]


def mask_areas(masks: np.ndarray) -> np.ndarray:
    """(N,) float64 pixels of packed masks."""
    return np.bitwise_count(masks).sum(1, dtype=np.float64)


def mask_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of every packed mask of ``first`` (N) with every one of ``second`` (M): (N, M)."""
    common = np.stack([mask_areas(mask & second) for mask in first])
    return common / (mask_areas(first)[:, None] + mask_areas(second) - common)


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """(N,) of boxes (x, y, width, height)."""
    return boxes[:, 2] * boxes[:, 3]


def box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) of boxes (x, y, width, height)."""
    return mask_util.iou(first, second, [0] * len(second))


def match_instances(scores: np.ndarray, ious: np.ndarray) -> list[int | None]:
    """In order of falling score each instance takes the still free one of highest IoU.

    The IoU that counts as consistent plays no part in it: one matching serves every threshold.
    What does not overlap at all is not matched. Among equals the first comes first.

    Args:
        scores: (N,) of the first crop's instances.
        ious: (N, M), 0 where a match is not allowed.

    Returns:
        for each of the N its match's index, or None.
    """
    free = np.ones(ious.shape[1], bool)
    matches: list[int | None] = [None] * len(scores)
    for index in np.argsort(-scores, kind="stable"):
        candidates = np.where(free, ious[index], 0.0)
        if candidates.any():
            matches[index] = best = int(candidates.argmax())
            free[best] = False
    return matches


def consistent_share(instances: list[dict], threshold: float) -> float:
    """AISC of a pair: the share, 0 to 1, of M(b)'s instances whose match has IoU > threshold."""
    return sum(i["iou"] > threshold for i in instances) / len(instances)


def symmetric_share(pair: dict, threshold: float) -> float:
    """2 * consistent / (\\|M(b)\\| + \\|M(c)\\|), 0 to 1; either may be empty, but not both."""
    consistent = sum(i["iou"] > threshold for i in pair["first"])
    return 2 * consistent / (len(pair["first"]) + len(pair["second"]))


def score_pairs(records: list[dict], task: str, class_names: list[str] | None = None) -> dict:
    """All scores of a task from its records, in percent (NaN where no pair counts).

    mAISC is the mean over the pairs in which M(b) is not empty, at IoU > 0.9, with the 95 %
    bootstrap interval over images; mAISC50 and mAISC75 at 0.5 and 0.75; mAISCs, m, l count only
    instances of COCO's small, medium and large areas; "symmetric" is the mean of
    :func:`symmetric_share` over the pairs in which either is not empty; "pairs" and "empty" count
    the pairs in the mean and those left out. Names with a hyphen are per class and per distance
    between the two crops.

    Args:
        records: see the top of this file.
        task: "segm" or "bbox".
        class_names: of the categories; None leaves them out.
    """
    main = THRESHOLDS["mAISC"]

    def share(record: dict, threshold: float = main, wanted=lambda instance: True):
        instances = [i for i in record[task]["first"] if wanted(i)]
        return consistent_share(instances, threshold) if instances else None

    def mean(**kwargs) -> float:
        return percent(share(record, **kwargs) for record in records)

    scores = score_shares("mAISC", records, share)
    for name, threshold in THRESHOLDS.items():
        scores[name] = mean(threshold=threshold)
    either = [r[task] for r in records if r[task]["first"] or r[task]["second"]]
    scores["symmetric"] = percent(symmetric_share(pair, main) for pair in either)
    for size, (low, high) in SIZES.items():
        scores[f"mAISC{size}"] = mean(wanted=lambda i, low=low, high=high: low <= i["area"] < high)
    for category, name in enumerate(class_names or []):
        scores[f"mAISC-{name}"] = mean(wanted=lambda i, c=category: i["category"] == c)
    return scores | score_by_shift("mAISC", records, share)
