"""Remedies at test time, as wrappers around a predictor: baselines for networks that alias less.

Both return plain predictions, see :mod:`~aa_detectron.consistency.adapters.predictions`.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from aa_detectron.errors import InvalidOption, check_from_1

from .adapters.geometry import cut_prediction
from .adapters.labels import class_scores
from .adapters.predictions import read_prediction
from .crops import Predict, needs_offsets, of_crop, predict_crops
from .merging import merge
from .shifts import Box, Offset, Position


class StrideAligned:
    """Pads each crop so that the network's grid lies on the same pixels of the image in all crops.

    See :func:`stride_aligned`.

    Args:
        predict: predictor.
        stride: total stride P of the network in pixels, at least 1.
    """

    needs_offsets = True

    def __init__(self, predict: Predict, stride: int):
        self.predict = predict
        self.stride = stride

    def __call__(self, crops: Sequence[np.ndarray], offsets: Sequence[Position]) -> list[dict]:
        steps = [(int(y) % self.stride, int(x) % self.stride) for y, x in offsets]
        padded = [
            pad(crop, step, (self.stride, self.stride))
            for crop, step in zip(crops, steps, strict=True)
        ]
        outputs = predict_crops(self.predict, padded)
        return cut_outputs(outputs, crops, steps, padded)


def stride_aligned(predict: Predict, stride: int) -> StrideAligned:
    """Wraps a predictor so that every crop meets the network's grid at the same phase.

    A crop at (y, x) is padded at the top by y mod P and at the left by x mod P with copies of its
    border, and its prediction is cut back. Pooling and strided layers then see the same windows in
    all crops of an image, except near the borders.

    A network sees pixels, not offsets. So the remedy is an oracle: it works where the offset is
    known from outside, as in :func:`~aa_detectron.consistency.predictors.evaluate_consistency`,
    which passes the offsets, or with a camera whose motion is known. It does not make a network
    consistent on images of unknown origin, and it cannot undo motion inside a scene. It needs a
    predictor that does not resize its inputs. Offsets between pixels are rounded down.

    Args:
        predict: function from crops to predictions, see
            :func:`~aa_detectron.consistency.predictors.evaluate_consistency`.
        stride: total stride P of the network in pixels.

    Raises:
        InvalidOption: a stride below 1, or a predictor that needs offsets.
    """
    check_from_1("stride", stride)
    _require_plain(predict)
    return StrideAligned(predict, stride)


class AverageShifts:
    """Averages the predictions for shifted copies of each crop, see :func:`average_shifts`.

    Args:
        predict: predictor.
        steps: shifts (y, x) of the copies in pixels, at least 0.
    """

    def __init__(self, predict: Predict, steps: Sequence[Offset]):
        self.predict = predict
        self.steps = list(steps)

    def __call__(self, crops: Sequence[np.ndarray]) -> list[dict]:
        found = [self._predict_at(step, crops) for step in self.steps]
        merged = []
        for crop, *predictions in zip(crops, *found, strict=True):
            with of_crop(crop):
                merged.append(merge(predictions))
        return merged

    def _predict_at(self, step: Offset, crops: Sequence[np.ndarray]) -> list[dict]:
        most = (max(y for y, _ in self.steps), max(x for _, x in self.steps))
        copies = [pad(crop, step, most) for crop in crops]
        outputs = predict_crops(self.predict, copies)
        return cut_outputs(outputs, crops, [step] * len(crops), copies, scores=True)


def average_shifts(predict: Predict, stride: int, count: int = 4) -> AverageShifts:
    """Wraps a predictor so that it averages over shifts by a fraction of the network's stride.

    Each crop is predicted ``count`` times, shifted down and to the right by 0, P / ``count``,
    2 P / ``count``, ... pixels, with copies of its border around it, so a prediction takes
    ``count`` times as long. :mod:`~aa_detectron.consistency.merging` says how predictions are
    merged. Nothing besides the pixels is needed. The average removes only those effects of the
    phase that the shifts sample.

    Args:
        predict: function from crops to predictions, see
            :func:`~aa_detectron.consistency.predictors.evaluate_consistency`.
        stride: total stride P of the network in pixels.
        count: number of shifts, at most P.

    Raises:
        InvalidOption: a count outside of 1 to P, or a predictor that needs offsets.
    """
    if not 1 <= count <= stride:
        raise InvalidOption("count", count, f"from 1 to the stride, {stride}")
    _require_plain(predict)
    steps = [number * stride // count for number in range(count)]
    return AverageShifts(predict, [(step, step) for step in steps])


def _require_plain(predict: Predict) -> None:
    if needs_offsets(predict):
        raise InvalidOption("predict", predict, "a function of crops alone")


def pad(crop: np.ndarray, step: Offset, most: tuple[int, int]) -> np.ndarray:
    """Moves a crop (H, W, C) down and right on a canvas, with copies of the border around it.

    Args:
        crop: crop.
        step: shift (y, x) of the crop in pixels, 0 to ``most``.
        most: pixels (y, x) by which the canvas is larger than the crop.
    """
    sides = [(here, total - here) for here, total in zip(step, most, strict=True)]
    return np.pad(crop, [*sides, (0, 0)], mode="edge")


def cut_outputs(
    outputs: Sequence[Any],
    crops: Sequence[np.ndarray],
    steps: Sequence[Offset],
    padded: Sequence[np.ndarray],
    *,
    scores: bool = False,
) -> list[dict]:
    """Cuts a model's outputs for padded crops back to the crops, see :func:`cut_output`.

    Args:
        outputs: outputs for the padded crops.
        crops: crops (H, W, C).
        steps: positions (y, x) of the crops in the padded crops.
        padded: padded crops.
        scores: see :func:`cut_output`.

    Raises:
        CropError: an output that cannot be used.
    """
    found = []
    for output, crop, step, image in zip(outputs, crops, steps, padded, strict=True):
        with of_crop(crop):
            sizes = crop.shape[:2], image.shape[:2]
            found.append(cut_output(output, sizes[0], step, sizes[1], scores=scores))
    return found


def cut_output(
    output: Any,
    size: tuple[int, int],
    step: Offset,
    padded: tuple[int, int],
    *,
    scores: bool = False,
) -> dict:
    """Cuts a model's output for a padded crop back to the crop.

    Args:
        output: output of any supported kind.
        size: size (height, width) of the crop in pixels.
        step: position (y, x) of the crop in the padded crop.
        padded: size (height, width) of the padded crop in pixels.
        scores: whether "sem_seg" has the scores (C, height, width) if the output has them;
            otherwise it always has labels.
    """
    prediction = read_prediction(output, padded, -math.inf)
    if "class" in prediction:  # in the form that models return
        answer = prediction["class"]
        prediction |= {"class": answer["label"], "score": answer["score"]}
    if scores and "sem_seg" in prediction:
        found = class_scores(output)
        prediction["sem_seg"] = prediction["sem_seg"] if found is None else found
    (y, x), (height, width) = step, size
    return cut_prediction(prediction, Box(y, x, y + height, x + width))
