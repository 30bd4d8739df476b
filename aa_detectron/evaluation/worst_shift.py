"""AP over the worst shift of each image (Zou et al.'s "pmk"), as pure functions.

The ground truth of an image is cut to each of its windows, COCOeval compares every window with what
a model found there, and of each image the window with the lowest AP of its own counts.

What COCOeval says about a window, see :mod:`.coco_ap`, is all that is kept: AP over any choice of
windows follows from it.
"""

import math

import numpy as np
import pycocotools.mask as mask_util
from pycocotools.coco import COCO

from aa_detectron.consistency.shifts import Box

from .coco_ap import ALL_AREAS, LARGE, MEDIUM, SMALL, Image, compare, mean_percent, precision, quiet


def cut_annotation(annotation: dict, mask: np.ndarray | None, window: Box) -> dict | None:
    """A COCO annotation as it is inside a window.

    Where the window cuts the object, its box becomes that of the mask inside, and its area that of
    the mask; without a mask, the box is clipped. All others keep their box and area as annotated.

    Args:
        annotation: with "bbox" (x, y, width, height) and "area".
        mask: (H, W) of 0 and 1; None for boxes only.
        window: of the image.

    Returns:
        None where nothing of it is inside.
    """
    x, y, width, height = annotation["bbox"]
    corners = np.array([x, y, x + width, y + height])
    limits = [window.x0, window.y0], [window.x1, window.y1]
    clipped = np.clip(corners, limits[0] * 2, limits[1] * 2)
    cut = annotation | {"bbox": [x - window.x0, y - window.y0, width, height]}
    if mask is not None:
        cut["segmentation"] = mask_util.encode(np.asfortranarray(mask[window.slices]))
    if (clipped == corners).all():
        return cut
    if mask is not None:
        cut["bbox"] = mask_util.toBbox(cut["segmentation"]).tolist()
        cut["area"] = float(mask_util.area(cut["segmentation"]))
    else:
        size = clipped[2:] - clipped[:2]
        cut["bbox"] = [*(clipped[:2] - limits[0]).tolist(), *size.tolist()]
        cut["area"] = float(size.prod())
    return cut if cut["area"] > 0 else None


def compare_windows(
    truth: list[list[dict]], found: list[list[dict]], task: str, size: tuple[int, int]
) -> list[Image]:
    """What COCOeval says about each window of an image.

    Args:
        truth: for each window its annotations, see :func:`cut_annotation`.
        found: for each window what a model found, in COCO's result format with the categories of
            ``truth``.
        task: "bbox" or "segm".
        size: (height, width) of the windows.
    """
    categories = sorted({a["category_id"] for side in (truth, found) for w in side for a in w})
    sides = (_as_coco(side, categories, task, size) for side in (truth, found))
    return compare(*sides, task).images


def average_precision(windows: list[Image], categories: list[int], task: str) -> dict:
    """COCO's AP over windows, of which each counts as an image.

    Returns:
        {"AP", "AP50", "AP75", "APs", "APm", "APl"} in percent, NaN without ground truth.
    """
    found = precision(windows, categories, task)
    parts = {"AP": found[..., ALL_AREAS], "AP50": found[0, ..., ALL_AREAS]}
    parts["AP75"] = found[5, ..., ALL_AREAS]
    for letter, area in (("s", SMALL), ("m", MEDIUM), ("l", LARGE)):
        parts[f"AP{letter}"] = found[..., area]
    return {name: mean_percent(part) for name, part in parts.items()}


def badness(window: Image, task: str) -> tuple[float, float]:
    """Sorts the windows of an image, the worst first.

    By the AP of the window alone; among equals by the scores of false positives, summed, highest
    first (the mean over IoU thresholds). Windows without ground truth, which have no AP, come last:
    they are the worst only of an image in which no window has any.
    """
    entries = {category: entry for (category, area), entry in window.items() if area == ALL_AREAS}
    ap = mean_percent(precision([window], list(entries), task, areas=1))
    false_positives = sum(
        (~entry.matched * entry.scores).sum(axis=1).mean() for entry in entries.values()
    )
    return (math.inf if math.isnan(ap) else ap), -float(false_positives)


def _as_coco(
    windows: list[list[dict]], categories: list[int], task: str, size: tuple[int, int]
) -> COCO:
    """A COCO data set whose images are the windows, numbered from 0."""
    coco = COCO()
    height, width = size
    annotations = []
    for number, instances in enumerate(windows):
        for instance in instances:
            added = {"iscrowd": 0, "area": _area(instance, task)} | instance
            added |= {"image_id": number, "id": len(annotations) + 1}  # COCOeval takes 0 for none
            annotations.append(added)
    coco.dataset = {
        "images": [{"id": n, "height": height, "width": width} for n in range(len(windows))],
        "categories": [{"id": category} for category in categories],
        "annotations": annotations,
    }
    with quiet():
        coco.createIndex()
    return coco


def _area(instance: dict, task: str) -> float:
    if task == "segm":
        return float(mask_util.area(instance["segmentation"]))
    return instance["bbox"][2] * instance["bbox"][3]
