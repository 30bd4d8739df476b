"""Consistency of label maps under shifts, as pure functions: mASSC (Zou et al., BMVC 2020).

The section of a record, see :mod:`~aa_detectron.consistency.records`, is

    "sem_seg": {"pixels": int, "equal": int, "per_class": {"<class>": [first, equal], ...}}

"pixels" are those of the overlap that count, "equal" those of them to which both crops give the
same label; "per_class" splits both numbers by the first crop's label.
"""

import numpy as np
from torch import Tensor

from aa_detectron.consistency.shifts import overlap_in_crops

from .records import percent, score_by_shift, score_shares, start_record


def label_pair_record(
    image_id,
    number: int,
    offsets,
    first: Tensor,
    second: Tensor,
    counted: np.ndarray | None = None,
) -> dict:
    """Compares the label maps of the two crops of a pair inside their overlap.

    Args:
        image_id: a number or string.
        number: of the pair within the image.
        offsets: ((y, x), (y, x)) of the crops.
        first, second: (height, width) integers, the labels that a model gives to each crop.
        counted: bool, of the size of the image: the pixels that count; None for all.

    Returns:
        the record with its section.
    """
    size = tuple(first.shape)
    boxes = overlap_in_crops(*offsets, size)
    overlaps = [
        labels[box.slices].cpu().numpy() for labels, box in zip((first, second), boxes, strict=True)
    ]
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


def equal_share(record: dict) -> float | None:
    """Share, 0 to 1, of a pair's pixels with the same label; None where no pixel counts."""
    section = record["sem_seg"]
    return section["equal"] / section["pixels"] if section["pixels"] else None


def score_label_pairs(records: list[dict], class_names: list[str] | None = None) -> dict:
    """All scores from the records, in percent (NaN where no pair counts).

    mASSC is the mean over pairs of the share of pixels to which both crops give the same label,
    with its interval and counts, see :func:`~aa_detectron.consistency.records.score_shares`.
    Names with a hyphen are per distance between the two crops and per class: the share of those
    pixels to which the first crop gives the class, mean over the pairs that have any.

    Args:
        records: see the top of this file.
        class_names: of the labels; None leaves them out.
    """

    def class_share(record: dict, label: int) -> float | None:
        pixels, equal = record["sem_seg"]["per_class"].get(str(label), (0, 0))
        return equal / pixels if pixels else None

    scores = score_shares("mASSC", records, equal_share)
    for label, name in enumerate(class_names or []):
        scores[f"mASSC-{name}"] = percent(class_share(record, label) for record in records)
    return scores | score_by_shift("mASSC", records, equal_share)
