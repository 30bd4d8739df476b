"""Conversion of label maps, logits and classes of any library to plain predictions."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from aa_detectron.errors import InputError

from .values import describe, to_array


def make_label_map(value: Any, size: tuple[int, int], name: str) -> np.ndarray:
    """Labels (height, width), integers or bool, from a label map or from scores of labels.

    Among equal scores, the lowest label wins.

    Args:
        value: labels (height, width) or (1, height, width), integers from 0 or bool; or scores
            (C, height, width) of C >= 2 labels. Both may have another axis of length 1 in front.
        size: size (height, width) of the crop in pixels.
        name: name of the value, for the message.

    Raises:
        InputError: another shape or size, a negative label, scores of a single label, or a pixel
            whose highest score is NaN or infinite.
    """
    if len(getattr(value, "shape", ())) == 4 and value.shape[0] == 1:
        value = value[0]
    if len(getattr(value, "shape", ())) == 3 and value.shape[0] > 0:
        value = _only_channel(value, name) if value.shape[0] == 1 else _highest(value, name)
    labels = to_array(value, name)
    if labels.ndim != 2 or labels.dtype.kind not in "iub":
        found = f"{name} is {describe(labels)}"
        raise InputError(f"{found}, but must have (H, W) integers or (C, H, W) scores")
    if labels.shape != tuple(size):
        found = f"{name} has {labels.shape[0]}x{labels.shape[1]} pixels"
        raise InputError(f"{found}, but must have {size[0]}x{size[1]}, as the crop")
    if labels.size and labels.min() < 0:
        raise InputError(f"{name} holds the label {labels.min()}, but labels must be at least 0")
    return labels


def _only_channel(value: Any, name: str) -> np.ndarray:
    """Labels (H, W) from (1, H, W). A single score has no competitor: it would win everywhere."""
    labels = to_array(value, name)[0]
    if labels.dtype.kind == "f":
        legal = "scores of two or more labels, or integers: threshold a score of foreground"
        raise InputError(f"{name} has one channel of scores, but must have {legal}")
    return labels


def _highest(scores: Any, name: str) -> np.ndarray:
    """Labels (H, W) of the highest scores. PyTorch finds them on its device, to copy less."""
    if hasattr(scores, "detach"):
        labels = scores.argmax(0)
        highest = to_array(scores.gather(0, labels[None]), name)
    else:
        scores = to_array(scores, name)
        labels = scores.argmax(0)
        highest = np.take_along_axis(scores, labels[None], axis=0)
    if not np.isfinite(highest).all():  # where any score is NaN, it is the highest
        raise InputError(f"{name} holds NaN or infinity")
    return to_array(labels, name)


def class_scores(output: Any) -> np.ndarray | None:
    """Scores (C, H, W) of a label map in a model's output; None if it has no scores."""
    if isinstance(output, Mapping):
        output = next((output[key] for key in ("sem_seg", "out") if key in output), None)
    if len(getattr(output, "shape", ())) not in (3, 4):
        return None
    scores = to_array(output, "scores")
    scores = scores[0] if scores.ndim == 4 else scores
    return scores if len(scores) > 1 else None


def make_logits(value: Any) -> np.ndarray:
    """Logits (classes,) of two or more classes, from (classes,) or (1, classes).

    Raises:
        InputError: another shape, NaN or infinity; -inf is legal for some of the classes.
    """
    logits = to_array(value, "logits")
    logits = logits[0] if logits.ndim == 2 and len(logits) == 1 else logits
    if logits.ndim != 1 or len(logits) < 2 or logits.dtype.kind not in "fiu":
        legal = "(classes,) numbers of two or more classes"
        raise InputError(f"logits are {describe(logits)}, but must be {legal}")
    if np.isnan(logits).any() or np.isposinf(logits).any() or not np.isfinite(logits).any():
        raise InputError("logits hold NaN or infinity")
    return logits


def make_class(value: Any, score: Any) -> dict:
    """{"label": class, "score": probability or None} of a crop.

    Raises:
        InputError: the class is not an integer from 0, or the score is not a finite number.
    """
    label = to_array(value, "class")
    if label.size != 1 or label.dtype.kind not in "iu" or label.item() < 0:
        raise InputError(f"class is {describe(value)}, but must be an integer from 0")
    if score is not None:
        score = to_array(score, "score")
        if score.size != 1 or score.dtype.kind not in "fiu" or not np.isfinite(score).all():
            raise InputError(f"score of a class is {describe(score)}, but must be a finite number")
        score = float(score.item())
    return {"label": int(label.item()), "score": score}
