"""Consistency of label maps under shifts: mASSC (Zou et al., BMVC 2020).

The section "sem_seg" of a record, see :mod:`~aa_detectron.consistency.records`.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from .intervals import percent, score_by_shift, score_fractions
from .records import METRICS, start_record
from .shifts import Offset, overlap_in_crops


def label_pair_record(
    image_id,
    number: int,
    offsets: Sequence[Offset],
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
    if counted is not None:
        rows, columns = (
            slice(start + inside.start, start + inside.stop)
            for start, inside in zip(offsets[0], boxes[0].slices, strict=True)
        )
        overlaps = [labels[counted[rows, columns]] for labels in overlaps]
    return start_record(image_id, number, offsets, size) | {"sem_seg": compare_labels(*overlaps)}


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
    pairs that have any.

    Args:
        records: see :mod:`~aa_detectron.consistency.records`.
        class_names: names of the labels; None leaves out the scores per class.
    """
    fraction = METRICS["mASSC"].fraction
    scores = score_fractions("mASSC", records, fraction)
    for label, name in enumerate(class_names or []):
        scores[f"mASSC-{name}"] = percent(map(partial(_class_fraction, label=label), records))
    return scores | score_by_shift("mASSC", records, fraction)


def _class_fraction(record: dict, label: int) -> float | None:
    pixels, equal = record["sem_seg"]["per_class"].get(str(label), (0, 0))
    return equal / pixels if pixels else None
