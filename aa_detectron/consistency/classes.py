"""Consistency of classifiers under shifts (Zhang, ICML 2019).

The section "classification" of a record, see :mod:`~aa_detectron.consistency.records`.
"""

from typing import Any

import numpy as np
from scipy.special import softmax

from .intervals import percent, score_by_shift, score_fractions
from .records import METRICS, plain, start_record
from .shifts import Offset


def class_pair_record(
    image_id: Any,
    number: int,
    offsets: tuple[Offset, Offset],
    size: tuple[int, int],
    first: np.ndarray | dict,
    second: np.ndarray | dict,
    category: int | None = None,
) -> dict:
    """Compares the logits of the two crops of a pair.

    Among classes with equal logits, the class with the lowest index is predicted.

    Args:
        image_id: id of the image, a number or string.
        number: number of the pair within the image.
        offsets: offsets ((y, x), (y, x)) of the two crops in the image.
        size: size (height, width) of both crops in pixels.
        first, second: logits (classes,) of each crop; for a model without logits, {"label": class,
            "score": probability of the class or None}.
        category: right class; None if it is unknown.

    Returns:
        record with the section "classification".
    """
    section = {"first": _predict(first), "second": _predict(second), "category": plain(category)}
    return start_record(image_id, number, offsets, size) | {"classification": section}


def _predict(logits: np.ndarray | dict) -> dict:
    if isinstance(logits, dict):
        return {"label": plain(logits["label"]), "score": plain(logits.get("score"))}
    label = int(logits.argmax())
    return {"label": label, "score": float(softmax(logits.astype(np.float64))[label])}


def score_class_pairs(records: list[dict]) -> dict[str, float]:
    """Computes all scores from the records, in percent (NaN if no pair counts).

    * consistency: fraction of pairs whose crops get the same label, with its interval and counts,
      see :func:`~aa_detectron.consistency.intervals.score_fractions`;
    * correct_consistency: fraction of pairs in which both crops get the right label, among the
      pairs in which at least one crop does, as in the code of Zou et al.; with correct_low,
      correct_high, correct_pairs;
    * accuracy: fraction of crops that get the right label;
    * names with a hyphen: consistency per distance between the two crops.

    correct_consistency and accuracy are left out if no right label is known.
    """
    consistent, correctly_consistent, correct = (
        METRICS[name].fraction for name in ("consistency", "correct consistency", "accuracy")
    )
    scores = score_fractions("consistency", records, consistent)
    if any(correct(record) is not None for record in records):
        both = score_fractions("correct_consistency", records, correctly_consistent)
        scores["correct_consistency"] = both["correct_consistency"]
        scores |= {f"correct_{key}": both[key] for key in ("low", "high", "pairs")}
        scores["accuracy"] = percent(map(correct, records))
    return scores | score_by_shift("consistency", records, consistent)
