"""Conversion of instances of any library, as columns or segments, to a plain prediction."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aa_detectron.errors import InputError
from aa_detectron.utils.coco_rle import compressed, rle_problem

from ..overlap import Prediction, counting
from .values import describe, to_array

MASK_THRESH = 0.5
"""Probability above which a pixel belongs to a mask."""


def make_instances(
    boxes: Any,
    scores: Any,
    classes: Any,
    masks: Any,
    size: tuple[int, int],
    score_thresh: float,
    index: Any = None,
) -> Prediction:
    """Checks the columns of instances, and keeps the instances that reach the threshold.

    Args:
        boxes: boxes (N, 4) x0, y0, x1, y1 in pixels of the crop.
        scores: scores (N,).
        classes: classes (N,), whole numbers from 0 of any type.
        masks: masks (N, height, width) or (N, 1, height, width), bool, integers or probabilities;
            N COCO RLEs; or None.
        size: size (height, width) of the crop in pixels.
        score_thresh: minimum score of an instance.
        index: positions (N,) in the model's output; None for 0 to N - 1.

    Raises:
        InputError: an illegal column; the message names the column, its value and the legal values.
    """
    scores = _column(scores, "scores")
    number = len(scores)
    boxes, classes = _boxes(boxes, number), _classes(classes, number)
    index = np.arange(number) if index is None else _column(index, "index", number)
    kept = np.flatnonzero(counting(scores, score_thresh))
    prediction: Prediction = {
        "boxes": boxes[kept],
        "scores": scores[kept],
        "classes": classes[kept],
        "index": index[kept],
    }
    if masks is not None:
        prediction["masks"] = _masks(masks, number, size, kept)
    return prediction


def _column(value: Any, name: str, number: int | None = None) -> np.ndarray:
    column = to_array(value, name)
    if column.ndim != 1 or (number is not None and len(column) != number):
        legal = "(N,)" if number is None else f"({number},), as many as scores"
        raise InputError(f"{name} are of shape {column.shape}, but must be of {legal}")
    if not np.isfinite(column).all():
        raise InputError(f"{name} hold NaN or infinity")
    return column


def _boxes(value: Any, number: int) -> np.ndarray:
    boxes = to_array(value, "boxes")
    boxes = boxes.reshape(0, 4) if boxes.size == 0 == number else boxes
    if boxes.shape != (number, 4):
        legal = f"({number}, 4) x0, y0, x1, y1, as many as scores"
        raise InputError(f"boxes are of shape {boxes.shape}, but must be of {legal}")
    if not np.isfinite(boxes).all():
        raise InputError("boxes hold NaN or infinity")
    inverted = np.flatnonzero((boxes[:, 2:] < boxes[:, :2]).any(axis=1))
    if len(inverted):
        found = boxes[inverted[0]].tolist()
        raise InputError(f"box {inverted[0]} is {found}, but must be x0, y0, x1 >= x0, y1 >= y0")
    return boxes


def _classes(value: Any, number: int) -> np.ndarray:
    classes = _column(value, "classes", number)
    whole = classes.astype(np.int64)
    wrong = np.flatnonzero((whole != classes) | (whole < 0))
    if len(wrong):
        found = classes[wrong[0]].item()
        raise InputError(f"class {wrong[0]} is {found}, but must be an integer from 0")
    return whole


def _masks(
    masks: Any, number: int, size: tuple[int, int], kept: np.ndarray
) -> np.ndarray | list[dict]:
    if len(masks) != number:
        raise InputError(f"masks are {len(masks)}, but must be {number}, as many as scores")
    if isinstance(masks, Sequence) and all(isinstance(mask, Mapping) for mask in masks):
        return _rles(masks, size, kept)
    if len(kept) == number:
        chosen = to_array(masks, "masks")
    elif hasattr(masks, "detach"):  # PyTorch: the other masks are not copied from the device
        chosen = to_array(masks[kept.tolist()], "masks")
    else:
        chosen = to_array(masks, "masks")[kept]
    chosen = chosen[:, 0] if chosen.ndim == 4 and chosen.shape[1] == 1 else chosen
    chosen = chosen.reshape(0, *size) if number == 0 and chosen.ndim == 1 else chosen
    if chosen.ndim != 3:
        raise InputError(f"masks are {describe(masks)}, but must be (N, height, width)")
    if len(chosen) and chosen.shape[1:] != tuple(size):
        found = f"masks are of {chosen.shape[1]}x{chosen.shape[2]} pixels"
        raise InputError(f"{found}, but must be of {size[0]}x{size[1]}, as the crop")
    if chosen.dtype.kind == "f":
        if np.isnan(chosen).any():
            raise InputError("masks hold NaN")
        return chosen > MASK_THRESH
    return chosen.astype(bool, copy=False)


def _rles(masks: Sequence[Mapping], size: tuple[int, int], kept: np.ndarray) -> list[dict]:
    for number, mask in enumerate(masks):
        problem = rle_problem(mask, *size)
        if problem:
            raise InputError(f"mask {number} {problem}")
    return [compressed(masks[i]) for i in kept]


def make_segments(
    segmentation: Any,
    segments: Sequence[Mapping],
    class_key: str,
    size: tuple[int, int],
    score_thresh: float,
) -> Prediction:
    """Makes instances from a map of segments, with boxes around the pixels of each segment.

    Args:
        segmentation: segment ids (height, width), or masks (N, height, width) in the order of
            ``segments``.
        segments: dict of each segment with "id", "score" and the class.
        class_key: key of the class in a segment's dict.
        size: size (height, width) of the crop in pixels.
        score_thresh: minimum score of a segment.

    Raises:
        InputError: a segment without a key, or a map of another size.
    """
    for number, segment in enumerate(segments):
        missing = [key for key in ("id", class_key, "score") if segment.get(key) is None]
        if missing:
            raise InputError(f"segment {number} is {describe(segment)}, without {missing[0]}")
    maps = to_array(segmentation, "segmentation")
    if maps.shape[-2:] != tuple(size):
        found = f"segmentation is of shape {maps.shape}"
        raise InputError(f"{found}, but must be of {tuple(size)}, as the crop")
    if maps.ndim == 2:
        ids = np.array([segment["id"] for segment in segments]).reshape(-1, 1, 1)
        maps = maps[None] == ids
    masks = maps.astype(bool)
    scores = np.array([segment["score"] for segment in segments], np.float64)
    classes = np.array([segment[class_key] for segment in segments], np.int64)
    return make_instances(_boxes_around(masks), scores, classes, masks, size, score_thresh)


def _boxes_around(masks: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) x0, y0, x1, y1, ends excluded; zeros for a mask without pixels."""
    boxes = np.zeros((len(masks), 4))
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if len(rows):
            box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
