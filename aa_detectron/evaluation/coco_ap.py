"""COCOeval in two steps: a comparison for each image, and the precision over any choice of images.

COCOeval compares detections with ground truth image by image; the result for an image does not
depend on other images. This comparison is the slow step. AP over any choice of images follows from
its results.
"""

import contextlib
import copy
import io
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from aa_detectron.consistency.records import plain

ALL_AREAS, SMALL, MEDIUM, LARGE = range(4)
"""Numbers of COCOeval's area ranges."""
MAX_DETECTIONS = 100
"""Number of detections that COCOeval compares in an image, highest scores first."""


class Entry(NamedTuple):
    """The detections of a category in an image, highest score first."""

    scores: np.ndarray
    """(D,) scores, 0 to 1."""
    matched: np.ndarray
    """(T, D) bool: whether each detection matches an object, at each IoU threshold."""
    ignored: np.ndarray
    """(T, D) bool: whether each detection is neither right nor wrong, such as in a crowd."""
    uncounted: np.ndarray
    """(G,) 1 for each object that does not count, such as a crowd, else 0."""


Image = dict[tuple[int, int], Entry]
"""Entries by (category, number of the area range); empty entries are missing."""


class Comparison(NamedTuple):
    """COCOeval's results for each image."""

    image_ids: list
    images: list[Image]
    categories: list[int]
    thresholds: np.ndarray
    """(T,) IoU thresholds."""


def compare(truth: COCO, found: COCO, task: str, areas: int = 4) -> Comparison:
    """Compares detections with ground truth.

    Args:
        truth: annotated objects.
        found: detections.
        task: "bbox" or "segm".
        areas: number of area ranges, from :data:`ALL_AREAS` on.
    """
    evaluation = COCOeval(truth, found, task)
    params = evaluation.params
    params.maxDets = [MAX_DETECTIONS]
    params.areaRng, params.areaRngLbl = params.areaRng[:areas], params.areaRngLbl[:areas]
    with quiet():
        evaluation.evaluate()
    keys = itertools.product(params.catIds, range(areas), range(len(params.imgIds)))
    images: list[Image] = [{} for _ in params.imgIds]
    for (category, area, image), entry in zip(keys, evaluation.evalImgs, strict=True):
        if entry is not None:
            images[image][plain(category), area] = _keep(entry)
    ids, categories = ([plain(i) for i in known] for known in (params.imgIds, params.catIds))
    return Comparison(ids, images, categories, params.iouThrs)


def _keep(entry: dict) -> Entry:
    return Entry(
        np.asarray(entry["dtScores"], float),
        np.asarray(entry["dtMatches"]) > 0,
        np.asarray(entry["dtIgnore"], bool),
        np.asarray(entry["gtIgnore"]),
    )


def precision(
    images: Sequence[Image], categories: Sequence[int], task: str, areas: int = 4
) -> np.ndarray:
    """COCOeval's precision at 100 detections.

    Args:
        images: entries of each image, see :class:`Comparison`; an image may occur several times.
        categories: ids of the categories that count.
        task: "bbox" or "segm".
        areas: number of area ranges, from :data:`ALL_AREAS` on.

    Returns:
        (IoU thresholds, recalls, categories, area ranges) array, -1 where there is no ground truth.
    """
    evaluation = COCOeval(iouType=task)
    params = evaluation.params
    params.imgIds, params.catIds = list(range(len(images))), list(categories)
    params.maxDets, params.areaRng = [MAX_DETECTIONS], params.areaRng[:areas]
    keys = itertools.product(categories, range(areas), images)
    evaluation.evalImgs = [_restore(image.get((c, area))) for c, area, image in keys]
    evaluation._paramsEval = copy.deepcopy(params)  # as COCOeval.evaluate leaves it
    with quiet():
        evaluation.accumulate()
    return evaluation.eval["precision"][..., 0]


def _restore(entry: Entry | None) -> dict | None:
    keys = ("dtScores", "dtMatches", "dtIgnore", "gtIgnore")
    return None if entry is None else dict(zip(keys, entry, strict=True))


def mean_percent(values: np.ndarray) -> float:
    """Mean of :func:`precision` over values with ground truth, in percent; NaN without any."""
    counted = values[values > -1]
    return 100 * float(counted.mean()) if counted.size else math.nan


def quiet() -> contextlib.AbstractContextManager:
    """Suppresses the output that pycocotools prints."""
    return contextlib.redirect_stdout(io.StringIO())
