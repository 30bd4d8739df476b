"""Consistency of instances under shifts: mAISC (Zou et al., BMVC 2020).

The sections "segm" and "bbox" of a record, see :mod:`~aa_detectron.consistency.records`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from aa_detectron.errors import InputError

from .class_names import ClassNames, list_names
from .correct import add_objects
from .intervals import percent, score_by_shift, score_fractions
from .jitter import score_jitter
from .matching import compare_instances
from .overlap import Prediction, box_areas, cut_to_overlap, mask_areas
from .records import METRICS, THRESHOLDS, Fraction, consistent_fraction, start_record
from .shifts import Offset, overlap_in_crops

SIZES = {"s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, math.inf)}
"""COCO's area ranges: small is below 32^2 pixels, large is from 96^2 pixels on."""


def pair_record(
    image_id: Any,
    number: int,
    offsets: tuple[Offset, Offset],
    size: tuple[int, int],
    first: Prediction,
    second: Prediction,
    *,
    match_class: bool = True,
    truth: dict | None = None,
) -> dict:
    """Compares the instances of the two crops of a pair inside their overlap.

    Args:
        image_id: id of the image, a number or string.
        number: number of the pair within the image.
        offsets: offsets ((y, x), (y, x)) of the two crops in the image.
        size: size (height, width) of both crops in pixels.
        first, second: plain predictions for each crop, with the instances that count, from
            :func:`~aa_detectron.consistency.adapters.predictions.read_prediction`.
        match_class: whether only instances of the same class can match.
        truth: ground truth in pixels of the image: "boxes" (N, 4) x0, y0, x1, y1, "classes" (N,),
            and optional "masks", N COCO RLEs or (N, height, width) bool. None if it is unknown.

    Returns:
        record with the sections "bbox" and, for a model with masks, "segm".

    Raises:
        InputError: masks of one crop only.
    """
    predictions, overlaps = (first, second), overlap_in_crops(*offsets, size)
    _check_masks(predictions)
    one, other = map(cut_to_overlap, predictions, overlaps)
    record = start_record(image_id, number, offsets, size)
    if any("masks" in prediction for prediction in predictions):
        masks = one.masks, other.masks
        record["segm"] = compare_instances(one, other, masks, mask_areas, match_class)
    boxes = one.boxes, other.boxes
    record["bbox"] = compare_instances(one, other, boxes, box_areas, match_class)
    if truth is not None:
        add_objects(record, (one, other), truth)
    return record


def _check_masks(predictions: Sequence[Prediction]) -> None:
    """Rejects masks of one crop only; a crop without instances may lack them."""
    found = ["masks" in prediction for prediction in predictions if len(prediction["scores"])]
    if any("masks" in prediction for prediction in predictions) and not all(found):
        raise InputError("one of the two crops has masks, the other has instances without masks")


def score_pairs(
    records: list[dict], task: str, class_names: ClassNames | None = None
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
        class_names: names of the categories, see
            :func:`~aa_detectron.consistency.class_names.list_names`; None for no scores per class.
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
    for category, name in enumerate(list_names(class_names) or []):
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
