"""The record of a pair, and every metric that is a mean over pairs.

The record of a pair is a plain dict with the outputs for its two crops. It can be written to JSON
unchanged, and every score is computed from it::

    {"image_id": ..., "pair": 0, "offsets": [[y, x], [y, x]], "size": [height, width], ...}

A record has the sections of one kind of output.

Instances::

    "segm": {"first": [{"index", "category", "score", "area", "match", "iou"}, ...],
             "second": [{"index", "category", "score", "area"}, ...]},
    "bbox": {...}

"first" and "second" are the instances M(b) and M(c) of the two crops, cut to the overlap. "index"
is the position in the model's output. "match" is a position in "second" or None. "iou" is the IoU
of the match, 0 without a match. "area" is the area in pixels of the original image. The records of
a detector without masks have no "segm". Instances of "bbox" have "box", their clipped box: x, y,
width, height in pixels, relative to the top left corner of the overlap. With ground truth, a
section has "objects": [{"category", "found": [by the first crop, by the second crop]}, ...], see
:mod:`~aa_detectron.consistency.correct`.

Label maps::

    "sem_seg": {"pixels": int, "equal": int, "per_class": {"<class>": [first, equal], ...}}

"pixels" is the number of pixels of the overlap that count. "equal" is the number of these pixels
with the same label in both crops. "per_class" splits both numbers by the first crop's label.
"boundary" is [pixels, equal] near the boundaries of either label map, see
:func:`~aa_detectron.consistency.label_maps.near_boundary`.

Classes::

    "classification": {
        "first": {"label": int, "score": float}, "second": {...}, "category": int or None
    }

"label" is the class with the highest logit of a crop, and "score" is its softmax. "category" is the
right class if it is known.

In a sweep (:mod:`~aa_detectron.consistency.sweep`), "pair" is the number of steps of the shift. The
record of an image's longest shift has "every_shift" in "sem_seg" or "classification", a list of
numbers: pixels that count (1 for a class), pixels with the same label under every shift and, with
ground truth, pixels with the right label under every shift.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from aa_detectron.errors import InputError

THRESHOLDS = {"mAISC": 0.9, "mAISC50": 0.5, "mAISC75": 0.75}
"""IoU that the match of a consistent instance must exceed, by metric."""
PARTNER_IOU = 0.5
"""IoU that the match of a partner must exceed; partners are regarded as one object."""

Fraction = Callable[[dict], float | None]
"""Function from a record to a fraction, 0 to 1; None if the pair does not count."""


class Metric(NamedTuple):
    """A fraction of a record that is averaged over pairs."""

    section: str
    """Section that a record must have."""
    fraction: Fraction


def start_record(
    image_id: Any, number: int, offsets: Sequence[Sequence[float]], size: Sequence[int]
) -> dict:
    """Makes a record without sections.

    Args:
        image_id: id of the image, a number or string.
        number: number of the pair within the image.
        offsets: offsets ((y, x), (y, x)) of the two crops in the image.
        size: size (height, width) of both crops in pixels.
    """
    return {
        "image_id": plain(image_id),
        "pair": plain(number),
        "offsets": [list(map(plain, offset)) for offset in offsets],
        "size": list(map(plain, size)),
    }


def plain(value: Any) -> Any:
    """Converts a NumPy scalar to a Python number for JSON; other values are unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def shift_length(record: dict) -> float:
    """Distance in pixels between the offsets of a pair's crops."""
    return math.dist(*record["offsets"])


def consistent_fraction(
    record: dict,
    task: str,
    threshold: float = THRESHOLDS["mAISC"],
    counts: Callable[[dict], bool] = lambda instance: True,
) -> float | None:
    """AISC of a pair: the fraction of M(b)'s instances whose match has IoU > ``threshold``.

    Args:
        record: record with the section ``task``.
        task: "segm" or "bbox".
        threshold: IoU that a match must exceed.
        counts: function that says whether an instance of M(b) counts.

    Returns:
        fraction, 0 to 1; None if no instance counts.
    """
    ious = [instance["iou"] for instance in record[task]["first"] if counts(instance)]
    return sum(iou > threshold for iou in ious) / len(ious) if ious else None


def symmetric_fraction(record: dict, task: str, threshold: float) -> float | None:
    """2 * consistent / (\\|M(b)\\| + \\|M(c)\\|), 0 to 1; None if both are empty."""
    first, second = record[task]["first"], record[task]["second"]
    if not first and not second:
        return None
    return 2 * sum(i["iou"] > threshold for i in first) / (len(first) + len(second))


def flicker_fraction(record: dict, task: str) -> float | None:
    """Fraction of the instances of both crops without a partner of IoU > 0.5, 0 to 1."""
    kept = symmetric_fraction(record, task, PARTNER_IOU)
    return None if kept is None else 1 - kept


def partners(record: dict, task: str) -> list[tuple[dict, dict]]:
    """Pairs of a first crop's instance and its match in the second crop with IoU > 0.5."""
    section = record[task]
    return [(i, section["second"][i["match"]]) for i in section["first"] if i["iou"] > PARTNER_IOU]


def score_change(record: dict, task: str) -> float | None:
    """Mean absolute score change of partners, 0 to 1; None without partners."""
    scores = [(first["score"], second["score"]) for first, second in partners(record, task)]
    changes = [abs(a - b) for a, b in scores if a is not None and b is not None]
    return math.fsum(changes) / len(changes) if changes else None


def both_found(record: dict, task: str) -> float | None:
    """Fraction of the found objects that both crops find; None if no object is found."""
    found = [o["found"] for o in record[task].get("objects", ()) if any(o["found"])]
    return sum(map(all, found)) / len(found) if found else None


def boundary_fraction(record: dict) -> float | None:
    """Fraction of the pixels near a boundary with the same label; None without such pixels."""
    pixels, equal = record["sem_seg"].get("boundary", (0, 0))
    return equal / pixels if pixels else None


def every_shift_fraction(record: dict, section: str, place: int = 1) -> float | None:
    """Fraction with the same (``place`` 1) or the right (2) answer under every shift of a sweep."""
    counts = record[section].get("every_shift", ())
    return counts[place] / counts[0] if len(counts) > place and counts[0] else None


def equal_fraction(record: dict) -> float | None:
    """Fraction of a pair's pixels with the same label; None if no pixel counts."""
    section = record["sem_seg"]
    return section["equal"] / section["pixels"] if section["pixels"] else None


def same_class(record: dict) -> float:
    """1 if both crops of a pair get the same label, else 0."""
    section = record["classification"]
    return float(section["first"]["label"] == section["second"]["label"])


def correct_fraction(record: dict) -> float | None:
    """Fraction, 0, 0.5 or 1, of a pair's crops with the right label; None if it is unknown."""
    section = record["classification"]
    if section["category"] is None:
        return None
    return sum(section[crop]["label"] == section["category"] for crop in ("first", "second")) / 2


def correctly_consistent(record: dict) -> float | None:
    """1 if both crops get the right label, 0 if one crop does; None if no crop does."""
    fraction = correct_fraction(record)
    return float(fraction == 1) if fraction else None


def _of_instances(task: str, shape: str) -> dict[str, Metric]:
    metrics = {
        f"{shape} {name}": Metric(task, partial(consistent_fraction, task=task, threshold=iou))
        for name, iou in THRESHOLDS.items()
    }
    symmetric = partial(symmetric_fraction, task=task, threshold=THRESHOLDS["mAISC"])
    return metrics | {
        f"{shape} mAISC symmetric": Metric(task, symmetric),
        f"{shape} flicker": Metric(task, partial(flicker_fraction, task=task)),
        f"{shape} score change": Metric(task, partial(score_change, task=task)),
        f"{shape} consistent and correct": Metric(task, partial(both_found, task=task)),
    }


def _of_every_shift(section: str, name: str) -> dict[str, Metric]:
    fraction = partial(every_shift_fraction, section=section)
    return {
        f"{name} every shift": Metric(section, fraction),
        f"{name} every shift correct": Metric(section, partial(fraction, place=2)),
    }


METRICS: dict[str, Metric] = {
    **_of_instances("segm", "mask"),
    **_of_instances("bbox", "box"),
    "mASSC": Metric("sem_seg", equal_fraction),
    "mASSC boundary": Metric("sem_seg", boundary_fraction),
    **_of_every_shift("sem_seg", "mASSC"),
    "consistency": Metric("classification", same_class),
    "correct consistency": Metric("classification", correctly_consistent),
    "accuracy": Metric("classification", correct_fraction),
    **_of_every_shift("classification", "consistency"),
}
"""Metrics by name; all code that scores records reads this table."""

MAIN_METRICS = {
    "segm": "mask mAISC",
    "bbox": "box mAISC",
    "sem_seg": "mASSC",
    "classification": "consistency",
}
"""Main metric of each section."""


def main_fraction(record: dict) -> float | None:
    """Fraction of a record's first section in :data:`MAIN_METRICS`; None if it does not count.

    Raises:
        InputError: the record has no section.
    """
    for section, name in MAIN_METRICS.items():
        if section in record:
            return METRICS[name].fraction(record)
    raise InputError("these records have neither instances, label maps nor classes")
