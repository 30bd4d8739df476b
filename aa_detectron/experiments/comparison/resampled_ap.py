"""COCO's AP of the same detections on many resamples of the images.

A resample needs only COCOeval's accumulation, with a weight for every image. COCOeval itself would
take seconds per resample.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from pycocotools.coco import COCO

from aa_detectron.evaluation.coco_ap import ALL_AREAS, Comparison, Entry, compare, quiet
from aa_detectron.evaluation.coco_truth import number_annotations

RECALLS = np.linspace(0, 1, 101)
"""Recalls at which COCO averages the precision."""


class Category(NamedTuple):
    """The detections of a category over all images, highest score first."""

    image: np.ndarray
    """(D,) number of each detection's image, a column of the weights."""
    matched: np.ndarray
    """(T, D) bool: whether each detection matches an object, at each IoU threshold."""
    ignored: np.ndarray
    """(T, D) bool: whether each detection is neither right nor wrong, such as in a crowd."""
    positives: np.ndarray
    """(images,) number of objects that count."""


def compare_detections(annotations: str, detections: str, task: str) -> Comparison:
    """Compares detections with ground truth as Detectron2's COCOEvaluator does.

    Args:
        annotations: path of a COCO JSON.
        detections: path of a JSON in COCO's result format.
        task: "bbox" or "segm".
    """
    with open(detections, encoding="utf-8") as file:
        found = json.load(file)
    with quiet():
        truth = COCO(annotations)
        number_annotations(truth)
        results = truth.loadRes(found) if found else COCO()  # loadRes needs at least one detection
    return compare(truth, results, task, areas=1)


def count_annotated(comparison: Comparison) -> int:
    """Number of images with at least one object that counts.

    Args:
        comparison: result of :func:`compare_detections`.
    """
    keys = [(category, ALL_AREAS) for category in comparison.categories]
    return sum(
        any(key in image and (image[key].uncounted == 0).any() for key in keys)
        for image in comparison.images
    )


def _gather(entries: Sequence[Entry | None], thresholds: int) -> Category:
    """Merges the entries of a category, one per image, in the order of decreasing scores."""
    positives = np.zeros(len(entries))
    image, scores = [np.zeros(0, int)], [np.zeros(0)]
    matched, ignored = ([np.zeros((thresholds, 0), bool)] for _ in range(2))
    for number, entry in enumerate(entries):
        if entry is None:
            continue
        positives[number] = np.count_nonzero(entry.uncounted == 0)
        image.append(np.full(len(entry.scores), number))
        scores.append(entry.scores)
        matched.append(entry.matched)
        ignored.append(entry.ignored)
    order = np.argsort(-np.concatenate(scores), kind="mergesort")  # stable, as in COCOeval
    return Category(
        np.concatenate(image)[order],
        np.ascontiguousarray(np.concatenate(matched, axis=1)[:, order]),
        np.ascontiguousarray(np.concatenate(ignored, axis=1)[:, order]),
        positives,
    )


def ap_of_resamples(comparison: Comparison, weights: np.ndarray) -> dict[str, np.ndarray]:
    """COCO's AP, AP50 and AP75 on each resample.

    Args:
        comparison: result of :func:`compare_detections`.
        weights: (1 + resamples, images) number of times that each image counts, see
            :func:`.statistics.image_weights`.

    Returns:
        {name: (1 + resamples,) percent}; NaN without any object.
    """
    thresholds = len(comparison.thresholds)
    precision = np.full((len(comparison.categories), len(weights), thresholds), np.nan)
    for number, category in enumerate(comparison.categories):
        entries = [image.get((category, ALL_AREAS)) for image in comparison.images]
        _accumulate(*_gather(entries, thresholds), weights.astype(float), precision[number])
    percent: dict[str, slice | list[int]] = {"AP": slice(None), "AP50": [0], "AP75": [5]}
    return {name: _nanmean(precision[..., at]) for name, at in percent.items()}


def _nanmean(precision: np.ndarray) -> np.ndarray:
    """Mean over categories with objects and over thresholds, in percent."""
    known = ~np.isnan(precision)
    with np.errstate(invalid="ignore"):
        return 100 * np.where(known, precision, 0).sum(axis=(0, 2)) / known.sum(axis=(0, 2))


@njit(nogil=True)
def _accumulate(
    image: np.ndarray,
    matched: np.ndarray,
    ignored: np.ndarray,
    positives: np.ndarray,
    weights: np.ndarray,
    out: np.ndarray,
) -> None:
    """Mean precision at :data:`RECALLS`: fills ``out``, (resamples, thresholds).

    Copies of a detection count together, while COCOeval has the copies of an image one after the
    other: the two differ on resamples if detections of one image and category have equal scores.
    """
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
