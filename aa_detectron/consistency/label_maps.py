"""Consistency of label maps under shifts: mASSC (Zou et al., BMVC 2020).

The section "sem_seg" of a record, see :mod:`~aa_detectron.consistency.records`.
"""

import itertools
from functools import partial
from typing import Any

import numpy as np

from .class_names import ClassNames, list_names
from .intervals import percent, score_by_shift, score_fractions
from .records import METRICS, start_record
from .shifts import Offset, overlap_in_crops

BOUNDARY = 3
"""Maximum distance in pixels between a change of label and a pixel near a boundary."""


def label_pair_record(
    image_id: Any,
    number: int,
    offsets: tuple[Offset, Offset],
    first: np.ndarray,
    second: np.ndarray,
    counted: np.ndarray | None = None,
) -> dict:
    """Compares the label maps of the two crops of a pair inside their overlap.

    Args:
        image_id: id of the image, a number or string.
        number: number of the pair within the image.
        offsets: offsets ((y, x), (y, x)) of the two crops in the image.
        first, second: predicted labels (height, width) of each crop, integers from 0.
        counted: mask of the pixels that count, bool, in the image's size; None for all pixels.

    Returns:
        record with the section "sem_seg".
    """
    size = tuple(first.shape)
    boxes = overlap_in_crops(*offsets, size)
    overlaps = [labels[box.slices] for labels, box in zip((first, second), boxes, strict=True)]
    near = near_boundary(overlaps[0]) | near_boundary(overlaps[1])
    if counted is not None:
        rows, columns = (
            slice(start + inside.start, start + inside.stop)
            for start, inside in zip(offsets[0], boxes[0].slices, strict=True)
        )
        inside = counted[rows, columns]
        overlaps, near = [labels[inside] for labels in overlaps], near[inside]
    section = compare_labels(*overlaps)
    equal = overlaps[0] == overlaps[1]
    section["boundary"] = [int(near.sum()), int((near & equal).sum())]
    return start_record(image_id, number, offsets, size) | {"sem_seg": section}


def near_boundary(labels: np.ndarray, distance: int = BOUNDARY) -> np.ndarray:
    """Finds the pixels near a change of label.

    Args:
        labels: labels (height, width), integers.
        distance: maximum Euclidean distance in pixels to a pixel with another label.

    Returns:
        mask (height, width) bool.
    """
    near = np.zeros(labels.shape, bool)
    for y, x in _half_disk(distance):
        here = (slice(None, -y or None), slice(max(-x, 0), -x if x > 0 else None))
        there = (slice(y, None), slice(max(x, 0), x if x < 0 else None))
        differs = labels[here] != labels[there]
        near[here] |= differs
        near[there] |= differs
    return near


def _half_disk(radius: int) -> list[tuple[int, int]]:
    """Steps (y, x) of at most ``radius`` pixels, one of each pair of opposite steps."""
    steps = itertools.product(range(radius + 1), range(-radius, radius + 1))
    return [(y, x) for y, x in steps if 0 < y * y + x * x <= radius * radius and (y or x > 0)]


def compare_labels(first: np.ndarray, second: np.ndarray) -> dict:
    """Section "sem_seg" of a record, from the labels of the pixels that count, in any shape."""
    equal = (first == second).ravel()
    labels, places = _number(first.ravel())
    pixels = np.bincount(places)
    kept = np.bincount(places[equal], minlength=len(pixels))
    return {
        "pixels": first.size,
        "equal": int(equal.sum()),
        "per_class": {str(labels[i]): [int(pixels[i]), int(kept[i])] for i in pixels.nonzero()[0]},
    }


def _number(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels in ascending order, and the place (N,) of each pixel's label among them.

    Counts for every number up to the largest label would not fit in memory for labels such as ids
    of segments. Where they do, their place is the label itself, since sorting is slow.
    """
    highest = int(labels.max(initial=0))
    if highest <= labels.size:
        return np.arange(highest + 1), labels
    return np.unique(labels, return_inverse=True)


def score_label_pairs(
    records: list[dict], class_names: ClassNames | None = None
) -> dict[str, float]:
    """Computes all scores from the records, in percent (NaN if no pair counts).

    * mASSC: fraction of pixels with the same label in both crops, mean over pairs, with its
      interval and counts, see :func:`~aa_detectron.consistency.intervals.score_fractions`;
    * names with a hyphen: mASSC per distance between the two crops, and per class. The pixels of a
      class are the pixels that have it in the first crop; pairs without such pixels do not count;
    * boundary, with boundary_low and boundary_high: mASSC over the pixels near a boundary of either
      label map; only if the records have it.

    Args:
        records: records of pairs, see :mod:`~aa_detectron.consistency.records`.
        class_names: names of the labels, see
            :func:`~aa_detectron.consistency.class_names.list_names`; None for no scores per class.
    """
    fraction = METRICS["mASSC"].fraction
    scores = score_fractions("mASSC", records, fraction)
    for label, name in enumerate(list_names(class_names) or []):
        scores[f"mASSC-{name}"] = percent(map(partial(_class_fraction, label=label), records))
    if any("boundary" in record["sem_seg"] for record in records):
        scores |= _score_boundary(records)
    return scores | score_by_shift("mASSC", records, fraction)


def _score_boundary(records: list[dict]) -> dict[str, float]:
    scores = score_fractions("boundary", records, METRICS["mASSC boundary"].fraction)
    named = {f"boundary_{key}": scores[key] for key in ("low", "high")}
    return {"boundary": scores["boundary"]} | named


def _class_fraction(record: dict, label: int) -> float | None:
    pixels, equal = record["sem_seg"]["per_class"].get(str(label), (0, 0))
    return equal / pixels if pixels else None
