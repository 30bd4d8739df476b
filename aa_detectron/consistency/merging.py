"""Merging of predictions for the same crop.

* Logits (C,) and scores of label maps (C, H, W) are averaged.
* Label maps without scores vote at each pixel, and classes without logits vote; among equal counts,
  the lowest label wins.
* Instances are merged greedily, in order of falling score. An instance joins the group of the same
  class whose first instance has the highest IoU with it, of boxes and above 0.5; each prediction
  adds at most one instance to a group. Otherwise it starts a group. A group becomes one instance:
  the mean of the boxes, the pixels in at least half of the masks, and the sum of the scores divided
  by the number of predictions. So an instance that only some predictions have loses score.
"""

from collections.abc import Sequence

import numpy as np
import pycocotools.mask as mask_util

from .adapters.geometry import decode_masks

SAME_IOU = 0.5
"""IoU above which two instances are one."""


def merge(predictions: Sequence[dict]) -> dict:
    """Merges plain predictions for one crop, all with the same kinds of output.

    Args:
        predictions: predictions with "boxes", "scores", "classes" and "masks"; "sem_seg", labels
            (height, width) or scores (C, height, width); "logits" (classes,) or "class", an
            integer.

    Returns:
        prediction in the same form, with labels instead of scores.
    """
    merged: dict = {}
    if "boxes" in predictions[0]:
        merged |= merge_instances(predictions)
    if "sem_seg" in predictions[0]:
        merged["sem_seg"] = merge_label_maps([p["sem_seg"] for p in predictions])
    if "logits" in predictions[0]:
        merged["logits"] = np.mean([p["logits"] for p in predictions], axis=0)
    elif "class" in predictions[0]:
        labels, votes = np.unique([p["class"] for p in predictions], return_counts=True)
        merged["class"] = int(labels[votes.argmax()])
    return merged


def merge_label_maps(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Labels (height, width) from scores (C, height, width) or from labels (height, width)."""
    if maps[0].ndim == 3:
        return np.mean(maps, axis=0).argmax(axis=0)
    # Equal labels are neighbors in sorted copies. Counts for every number up to the largest label
    # would not fit in memory for labels such as ids of segments.
    ordered = np.sort([labels.astype(np.int64) for labels in maps], axis=0)
    runs = np.ones_like(ordered)
    for here in range(1, len(ordered)):
        runs[here] += runs[here - 1] * (ordered[here] == ordered[here - 1])
    longest = runs.argmax(axis=0)  # among equal runs the first, of the lowest label
    return np.take_along_axis(ordered, longest[None], axis=0)[0]


def merge_instances(predictions: Sequence[dict]) -> dict:
    """Instances of all predictions, merged."""
    found = _pool(predictions)
    groups = _group(found)
    number = len(predictions)
    merged: dict = {
        "boxes": np.array([found["boxes"][group].mean(axis=0) for group in groups]).reshape(-1, 4),
        "scores": np.array([found["scores"][group].sum() / number for group in groups]),
        "classes": np.array([found["classes"][group[0]] for group in groups], np.int64),
    }
    if "masks" in found:
        merged["masks"] = np.array(
            [2 * found["masks"][group].sum(axis=0) >= len(group) for group in groups], bool
        ).reshape(len(groups), *found["masks"].shape[1:])
    elif any("masks" in prediction for prediction in predictions):
        merged["masks"] = []  # an instance segmentation that finds nothing
    return merged


def _pool(predictions: Sequence[dict]) -> dict[str, np.ndarray]:
    """Columns of all instances, in order of falling score."""
    origin = np.repeat(np.arange(len(predictions)), [len(p["scores"]) for p in predictions])
    names = "boxes", "scores", "classes"
    found = {name: np.concatenate([np.asarray(p[name]) for p in predictions]) for name in names}
    found["origin"] = origin
    masks = [decode_masks(p["masks"]) for p in predictions if len(p.get("masks", ()))]
    if masks:
        found["masks"] = np.concatenate(masks)
    order = np.argsort(-found["scores"], kind="stable")
    return {name: column[order] for name, column in found.items()}


def _group(found: dict[str, np.ndarray]) -> list[list[int]]:
    corners = found["boxes"].astype(np.float64)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    groups: list[list[int]] = []
    for number, box in enumerate(boxes):
        open_groups = [group for group in groups if _accepts(group, number, found)]
        leaders = [group[0] for group in open_groups]
        ious = mask_util.iou(boxes[leaders], box[None], [0])[:, 0] if leaders else np.zeros(1)
        if ious.max() > SAME_IOU:
            open_groups[int(ious.argmax())].append(number)
        else:
            groups.append([number])
    return groups


def _accepts(group: list[int], number: int, found: dict[str, np.ndarray]) -> bool:
    classes, origin = found["classes"], found["origin"]
    return classes[group[0]] == classes[number] and origin[number] not in origin[group]
