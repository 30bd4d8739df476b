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

    Of classes with equal logits the one of lowest index is predicted.

    Args:
        image_id: number or string.
        number: pair number within the image.
        offsets: ((y, x), (y, x)) of the crops.
        size: (height, width) of both crops.
        first, second: (classes,) logits; or, where a model gives no logits, {"label": class,
            "score": its probability or None}.
        category: right class; None where it is not known.

    Returns:
        the record with its section.
    """
    section = {"first": _predict(first), "second": _predict(second), "category": plain(category)}
    return start_record(image_id, number, offsets, size) | {"classification": section}


def _predict(logits: np.ndarray | dict) -> dict:
    if isinstance(logits, dict):
        return {"label": plain(logits["label"]), "score": plain(logits.get("score"))}
    label = int(logits.argmax())
    return {"label": label, "score": float(softmax(logits.astype(np.float64))[label])}


def score_class_pairs(records: list[dict]) -> dict[str, float]:
    """All scores from the records, in percent (NaN where no pair counts).

    * consistency: fraction of pairs whose crops get the same label, with its interval and counts,
      see :func:`~aa_detectron.consistency.intervals.score_fractions`;
    * correct_consistency: among the pairs in which at least one crop gets the right label, the
      fraction in which both do, as in the code of Zou et al.; with correct_low, correct_high,
      correct_pairs;
    * accuracy: fraction of crops that get the right label;
    * names with a hyphen: consistency per distance between the two crops.

    The second and third are left out where no right label is known.
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
