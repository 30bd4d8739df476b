"""Matching of the instances of two crops inside their overlap."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from .overlap import Inside, Shapes


def compare_instances(
    first: Inside,
    second: Inside,
    shapes: tuple[Shapes, Shapes],
    areas: Callable[[Any], np.ndarray],
    match_class: bool,
) -> dict:
    """Makes the section "segm" or "bbox" of a record: drops empty shapes and matches the others.

    Args:
        first, second: instances of the two crops.
        shapes: their masks or their boxes.
        areas: function that returns the areas of shapes.
        match_class: whether only instances of the same class can match.
    """
    (found, found_shapes), (others, other_shapes) = (
        _non_empty(side, shape, areas(shape))
        for side, shape in zip((first, second), shapes, strict=True)
    )
    ious = np.zeros((len(found), len(others)))
    if found and others:
        ious = mask_util.iou(found_shapes, other_shapes, [0] * len(others))
    if match_class:
        classes = [np.array([i["category"] for i in side], int) for side in (found, others)]
        ious = np.where(classes[0][:, None] == classes[1][None, :], ious, 0.0)
    matches = match_instances(np.array([i["score"] for i in found]), ious)
    for index, match in enumerate(matches):
        found[index]["match"] = match
        found[index]["iou"] = 0.0 if match is None else float(ious[index, match])
    return {"first": found, "second": others}


def _non_empty(side: Inside, shapes: Shapes, areas: np.ndarray) -> tuple[list[dict], Shapes]:
    """Instances with a part in the overlap, as dicts, and their shapes there."""
    columns = [column.tolist() for column in (side.index, side.classes, side.scores, areas)]
    keys, rows = ("index", "category", "score", "area"), zip(*columns, strict=True)
    kept = areas > 0
    instances = [dict(zip(keys, row, strict=True)) for row in itertools.compress(rows, kept)]
    if not isinstance(shapes, np.ndarray):
        return instances, list(itertools.compress(shapes, kept))
    for instance, box in zip(instances, shapes[kept].tolist(), strict=True):
        instance["box"] = box
    return instances, shapes[kept]


def match_instances(scores: np.ndarray, ious: np.ndarray) -> list[int | None]:
    """Matches each instance, in order of falling score, with the free instance of highest IoU.

    The matching does not depend on the IoU threshold of the metric, so one matching serves every
    threshold. Instances with an IoU of 0 are not matched. Ties go to the lower index.

    Args:
        scores: scores (N,) of the first crop's instances.
        ious: IoUs (N, M) of the two crops' instances, 0 if a match is not allowed.

    Returns:
        index of the match for each of the N instances, or None.
    """
    free = np.ones(ious.shape[1], bool)
    matches: list[int | None] = [None] * len(scores)
    for index in np.argsort(-scores, kind="stable"):
        candidates = np.where(free, ious[index], 0.0)
        if candidates.any():
            matches[index] = best = int(candidates.argmax())
            free[best] = False
    return matches
