"""AP over the worst shift of each image (Zou et al.'s "pmk"), as pure functions.

The ground truth of an image is cut to each of its windows. COCOeval compares the ground truth of
every window with a model's detections in it. Of each image, only the window with the lowest AP
counts.

Only COCOeval's results for a window are kept, see :mod:`.coco_ap`: AP over any choice of windows
follows from them.
"""

import math
from collections.abc import Sequence

import numpy as np
import pycocotools.mask as mask_util
from pycocotools.coco import COCO

from aa_detectron.consistency.shifts import Box

from .coco_ap import ALL_AREAS, LARGE, MEDIUM, SMALL, Image, compare, mean_percent, precision, quiet


def cut_annotation(annotation: dict, mask: np.ndarray | None, window: Box) -> dict | None:
    """The part of a COCO annotation inside a window.

    If the window cuts the object, its box and area are computed from the mask inside the window;
    without a mask, the box is clipped. Other objects keep their annotated box and area.

    Args:
        annotation: COCO annotation with "bbox" (x, y, width, height) and "area".
        mask: (H, W) of 0 and 1; None for boxes only.
        window: part of the image.

    Returns:
        None if no part of the object is inside.
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
    truth: Sequence[list[dict]], found: Sequence[list[dict]], task: str, size: tuple[int, int]
) -> list[Image]:
    """COCOeval's results for each window of an image.

    Args:
        truth: annotations in each window, see :func:`cut_annotation`.
        found: detections in each window, in COCO's result format, with the categories of ``truth``.
        task: "bbox" or "segm".
        size: (height, width) of the windows.
    """
    categories = sorted({a["category_id"] for side in (truth, found) for w in side for a in w})
    truth_coco = _as_coco(truth, categories, task, size)
    return compare(truth_coco, _as_coco(found, categories, task, size), task).images


def average_precision(
    windows: Sequence[Image], categories: list[int], task: str
) -> dict[str, float]:
    """COCO's AP over windows, each of which counts as an image.

    Args:
        windows: results of :func:`compare_windows`.
        categories: ids of the categories that count.
        task: "bbox" or "segm".

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
    """Key that sorts the windows of an image, worst first.

    Windows are sorted by their own AP. At equal AP, a window with a higher sum of the scores of its
    false positives (mean over IoU thresholds) comes first. Windows without ground truth have no AP
    and come last.
    """
    entries = {category: entry for (category, area), entry in window.items() if area == ALL_AREAS}
    ap = mean_percent(precision([window], list(entries), task, areas=1))
    false_positives = sum(
        (~entry.matched * entry.scores).sum(axis=1).mean() for entry in entries.values()
    )
    return (math.inf if math.isnan(ap) else ap), -float(false_positives)


def _as_coco(
    windows: Sequence[list[dict]], categories: list[int], task: str, size: tuple[int, int]
) -> COCO:
    """A COCO dataset whose images are the windows, numbered from 0."""
    coco = COCO()
    height, width = size
    annotations: list[dict] = []
    for number, instances in enumerate(windows):
        for instance in instances:
            added = {"iscrowd": 0, "area": _area(instance, task)} | instance
            added |= {
                "image_id": number,
                "id": len(annotations) + 1,
            }  # COCOeval takes id 0 for no match
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
