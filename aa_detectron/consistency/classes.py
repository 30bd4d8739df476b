"""Accuracy of classifiers, and their consistency under shifts, as pure functions.

The section of a record, see :mod:`~aa_detectron.consistency.records`, is

    "classification": {
        "first": {"label": int, "score": float}, "second": {...}, "category": int or None
    }

"label" is the class of the highest logit of a crop, "score" its softmax; "category" is the right
class, where that is known. Of classes with equal logits the one of lowest index comes first.
"""

import math

import torch
from torch import Tensor

from aa_detectron.errors import InvalidOption

from .records import percent, score_by_shift, score_shares, start_record


def top_k_correct(logits: Tensor, categories: Tensor, k: int) -> Tensor:
    """Which images have their category among the k highest logits; the sum counts them.

    Args:
        logits: (N, classes).
        categories: (N,) integers.
        k: at least 1.

    Returns:
        (N,) bool.

    Raises:
        InvalidOption: a category that has no logit.
    """
    if len(categories):
        _check_number_of_logits(logits, int(categories.max()))
    highest = logits.argsort(dim=1, descending=True, stable=True)[:, :k]
    return (highest == categories[:, None]).any(dim=1)


def vid_correct(
    logits: Tensor, annotated: list[list[int]], classes_of_vid: list[list[int]]
) -> Tensor:
    """Which frames a classifier of ImageNet-1k gets right; the sum counts them.

    Of the ImageNet classes that belong to any VID class the one of the highest logit is predicted.
    It is right if it belongs to any VID class that is annotated in the frame.

    Args:
        logits: (N, ImageNet classes).
        annotated: for each frame, the indices of VID classes.
        classes_of_vid: for each VID class, the indices of ImageNet classes that belong to it.

    Returns:
        (N,) bool.

    Raises:
        InvalidOption: an ImageNet class that has no logit.
    """
    candidates = sorted(set().union(*classes_of_vid))
    _check_number_of_logits(logits, candidates[-1])
    predicted = mask_classes(logits, candidates).argmax(dim=1).tolist()
    right = [
        any(label in classes_of_vid[vid_class] for vid_class in vid_classes)
        for label, vid_classes in zip(predicted, annotated, strict=True)
    ]
    return torch.tensor(right, dtype=torch.bool)


def mask_classes(logits: Tensor, kept: list[int]) -> Tensor:
    """(N, classes) logits with -inf for all classes but the ``kept`` ones.

    Zero would not do: a kept class of negative logit would lose to it.
    """
    masked = torch.full_like(logits, -math.inf)
    masked[:, kept] = logits[:, kept]
    return masked


def _check_number_of_logits(logits: Tensor, highest: int) -> None:
    if highest >= logits.shape[1]:
        raise InvalidOption("number of logits", logits.shape[1], f"at least {highest + 1}")


def class_pair_record(
    image_id, number: int, offsets, size, first: Tensor, second: Tensor, category: int | None = None
) -> dict:
    """Compares the logits of the two crops of a pair.

    Args:
        image_id: a number or string.
        number: of the pair within the image.
        offsets: ((y, x), (y, x)) of the crops.
        size: (height, width) of both crops.
        first, second: (classes,) logits.
        category: the right class; None where it is not known.

    Returns:
        the record with its section.
    """
    section = {"first": _predict(first), "second": _predict(second), "category": category}
    return start_record(image_id, number, offsets, size) | {"classification": section}


def _predict(logits: Tensor) -> dict:
    label = int(logits.argmax())
    return {"label": label, "score": float(logits.float().softmax(dim=0)[label])}


def consistent(record: dict) -> float:
    """1 if both crops of a pair get the same label, else 0."""
    section = record["classification"]
    return float(section["first"]["label"] == section["second"]["label"])


def correct_share(record: dict) -> float | None:
    """Share, 0, 0.5 or 1, of a pair's crops that get the right label; None where it is unknown."""
    section = record["classification"]
    if section["category"] is None:
        return None
    return sum(section[crop]["label"] == section["category"] for crop in ("first", "second")) / 2


def correctly_consistent(record: dict) -> float | None:
    """1 if both crops get the right label, 0 if one of them does; None for every other pair."""
    share = correct_share(record)
    return float(share == 1) if share else None


def score_class_pairs(records: list[dict]) -> dict[str, float]:
    """All scores from the records, in percent (NaN where no pair counts).

    * consistency: share of pairs whose crops get the same label, with its interval and counts, see
      :func:`~aa_detectron.consistency.records.score_shares`;
    * correct_consistency: of the pairs in which at least one crop gets the right label, the share
      in which both do, as in the code of Zou et al.; with correct_low, correct_high,
      correct_pairs;
    * accuracy: share of crops that get the right label;
    * names with a hyphen: consistency per distance between the two crops.

    The second and third are left out where no right label is known.
    """
    scores = score_shares("consistency", records, consistent)
    if any(correct_share(record) is not None for record in records):
        correct = score_shares("correct_consistency", records, correctly_consistent)
        scores["correct_consistency"] = correct["correct_consistency"]
        scores |= {f"correct_{key}": correct[key] for key in ("low", "high", "pairs")}
        scores["accuracy"] = percent(map(correct_share, records))
    return scores | score_by_shift("consistency", records, consistent)
