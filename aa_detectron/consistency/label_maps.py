"""Consistency of label maps under shifts: mASSC (Zou et al., BMVC 2020).

The section "sem_seg" of a record, see :mod:`~aa_detectron.consistency.records`.
"""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from .intervals import percent, score_by_shift, score_fractions
from .records import METRICS, start_record
from .shifts import Offset, overlap_in_crops

BOUNDARY = 3
"""Pixels to a change of label within which a pixel counts as near a boundary."""


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
        image_id: number or string.
        number: pair number within the image.
        offsets: ((y, x), (y, x)) of the crops.
        first, second: (height, width) integers from 0, the labels that a model gives to each crop.
        counted: bool, of the size of the image: the pixels that count; None for all.

    Returns:
        the record with its section.
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
    """Which pixels are within some pixels of a change of label.

    Args:
        labels: (height, width) integers.
        distance: the greatest Euclidean distance, in pixels, from a pixel to one of another label.

    Returns:
        (height, width) bool.
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
    """Steps (y, x) of at most ``radius`` pixels, one of every two opposite ones."""
    steps = itertools.product(range(radius + 1), range(-radius, radius + 1))
    return [(y, x) for y, x in steps if 0 < y * y + x * x <= radius * radius and (y or x > 0)]


def compare_labels(first: np.ndarray, second: np.ndarray) -> dict:
    """The "sem_seg" of a record, from the labels of the pixels that count, of any one shape."""
    equal = first == second
    labels = np.bincount(first.ravel())
    kept = np.bincount(first[equal].ravel(), minlength=len(labels))
    return {
        "pixels": first.size,
        "equal": int(equal.sum()),
        "per_class": {str(c): [int(labels[c]), int(kept[c])] for c in np.flatnonzero(labels)},
    }


def score_label_pairs(
    records: list[dict], class_names: Sequence[str] | None = None
) -> dict[str, float]:
    """All scores from the records, in percent (NaN where no pair counts).

    mASSC is the mean over pairs of the fraction of pixels to which both crops give the same label,
    with its interval and counts, see :func:`~aa_detectron.consistency.intervals.score_fractions`.
    Names with a hyphen are per distance between the two crops and per class: among the pixels to
    which the first crop gives the class, the fraction with the same label in both, mean over the
    pairs that have any. "boundary", with boundary_low and boundary_high, counts only the pixels
    near a boundary of either map; it is left out where the records do not have it.

    Args:
        records: see :mod:`~aa_detectron.consistency.records`.
        class_names: names of the labels; None leaves out the scores per class.
    """
    fraction = METRICS["mASSC"].fraction
    scores = score_fractions("mASSC", records, fraction)
    for label, name in enumerate(class_names or []):
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
