"""COCO's AP of the same detections on many resamples of the images.

COCOeval compares detections with ground truth once. What it says about each detection does not
depend on other images, so a resample needs only the accumulation, with a weight for every image;
COCOeval would take seconds for each.
"""

import contextlib
import io
import json
from typing import NamedTuple

import numpy as np
from numba import njit
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

MAX_DETECTIONS = 100
RECALLS = np.linspace(0, 1, 101)  # COCO's


class Category(NamedTuple):
    """The detections of a category over all images, the highest score first."""

    image: np.ndarray
    """(D,) columns of the weights."""
    matched: np.ndarray
    """(T, D) bool, at each IoU threshold."""
    ignored: np.ndarray
    """(T, D) bool: neither right nor wrong, such as those of a crowd."""
    positives: np.ndarray
    """(images,) objects that count."""


class Comparison(NamedTuple):
    """What COCOeval says about the detections of a data set."""

    image_ids: list
    categories: list[Category]
    thresholds: np.ndarray
    """(T,) of IoU."""


def compare_detections(annotations: str, detections: str, task: str) -> Comparison:
    """Compares detections with ground truth as Detectron2's COCOEvaluator does.

    Args:
        annotations, detections: JSON files, of COCO and of its results.
        task: "bbox" or "segm".
    """
    with open(detections, encoding="utf-8") as file:
        found = json.load(file)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(annotations)
        results = truth.loadRes(found) if found else COCO()  # loadRes wants at least one
        evaluation = COCOeval(truth, results, task)
        params = evaluation.params
        params.maxDets, params.areaRng, params.areaRngLbl = [MAX_DETECTIONS], [[0, 1e10]], ["all"]
        evaluation.evaluate()
    images = len(params.imgIds)
    thresholds = params.iouThrs
    categories = []
    for number in range(len(params.catIds)):
        entries = evaluation.evalImgs[number * images : (number + 1) * images]
        categories.append(_gather(entries, len(thresholds)))
    return Comparison([int(i) for i in params.imgIds], categories, thresholds)


def _gather(entries: list[dict | None], thresholds: int) -> Category:
    """COCOeval's entries for a category, one for each image, in one order of falling score."""
    known = [(number, entry) for number, entry in enumerate(entries) if entry is not None]
    positives = np.zeros(len(entries))
    image, scores = [np.zeros(0, int)], [np.zeros(0)]
    matched, ignored = ([np.zeros((thresholds, 0), bool)] for _ in range(2))
    for number, entry in known:
        positives[number] = np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0)
        image.append(np.full(len(entry["dtScores"]), number))
        scores.append(np.asarray(entry["dtScores"], float))
        matched.append(np.asarray(entry["dtMatches"]) > 0)
        ignored.append(np.asarray(entry["dtIgnore"], bool))
    order = np.argsort(-np.concatenate(scores), kind="mergesort")  # stable, as in COCOeval
    return Category(
        np.concatenate(image)[order],
        np.ascontiguousarray(np.concatenate(matched, axis=1)[:, order]),
        np.ascontiguousarray(np.concatenate(ignored, axis=1)[:, order]),
        positives,
    )


def average_precision(comparison: Comparison, weights: np.ndarray) -> dict[str, np.ndarray]:
    """COCO's AP, AP50 and AP75 on each resample.

    Args:
        comparison: of :func:`compare_detections`.
        weights: (1 + resamples, images), see :func:`.resampling.image_weights`.

    Returns:
        {name: (1 + resamples,) percent}; NaN without any object.
    """
    shape = len(comparison.categories), len(weights), len(comparison.thresholds)
    precision = np.full(shape, np.nan)
    for number, category in enumerate(comparison.categories):
        _accumulate(*category, weights.astype(float), precision[number])
    percent = {"AP": slice(None), "AP50": [0], "AP75": [5]}
    return {name: _nanmean(precision[..., at]) for name, at in percent.items()}


def _nanmean(precision: np.ndarray) -> np.ndarray:
    """Mean over categories with objects and over thresholds, in percent."""
    known = ~np.isnan(precision)
    with np.errstate(invalid="ignore"):
        return 100 * np.where(known, precision, 0).sum(axis=(0, 2)) / known.sum(axis=(0, 2))


@njit(nogil=True)
def _accumulate(image, matched, ignored, positives, weights, out):
    """Mean precision at COCO's 101 recalls: fills out (resamples, thresholds)."""
    recall, precision = np.empty(len(image)), np.empty(len(image))
    for resample in range(weights.shape[0]):
        weight = weights[resample]
        total = (weight * positives).sum()
        if total == 0:
            continue
        for threshold in range(matched.shape[0]):
            right = wrong = 0.0
            points = 0
            for d in range(len(image)):
                w = weight[image[d]]
                if w == 0 or ignored[threshold, d]:
                    continue
                if matched[threshold, d]:
                    right += w
                else:
                    wrong += w
                recall[points] = right / total
                precision[points] = right / (right + wrong)
                points += 1
            for k in range(points - 1, 0, -1):
                precision[k - 1] = max(precision[k - 1], precision[k])
            k, area = 0, 0.0
            for least in RECALLS:
                while k < points and recall[k] < least:
                    k += 1
                if k == points:
                    break
                area += precision[k]
            out[resample, threshold] = area / len(RECALLS)
