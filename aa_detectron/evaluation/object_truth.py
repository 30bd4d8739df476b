"""The objects of a dataset's images, for the score "consistent and correct"."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import DatasetCatalog
from detectron2.structures import BoxMode

from aa_detectron.consistency.sources.coco import to_rle
from aa_detectron.data.datasets.dicts_check import plain_list
from aa_detectron.data.pairs import get_image_dicts
from aa_detectron.errors import InputError

Truth = Callable[[Any], dict | None]
"""Function from an image id to the ground truth of the image, see
:class:`~aa_detectron.consistency.sources.images.ImageItem`."""

_KEYS = {"bbox", "bbox_mode", "category_id"}


def no_truth(image_id: Any) -> None:
    """The ground truth of images without known objects."""
    return None


class ObjectTruth:
    """The objects of a dataset whose dicts have annotations with upright boxes.

    The dataset is loaded at the first call. Objects are converted when they are needed, one image
    at a time. Crowds are left out.

    Args:
        name: name of a registered dataset, or path of a folder of images. The ground truth of a
            folder, and of a dataset without objects, is None.
    """

    def __init__(self, name: str):
        self.name = name

    def __call__(self, image_id: Any) -> dict | None:
        image = self._images.get(image_id)
        return None if image is None else _convert(image)

    @cached_property
    def _images(self) -> dict[Any, dict]:
        if self.name not in DatasetCatalog:
            return {}
        images = {image["image_id"]: image for image in get_image_dicts(self.name)}
        objects = [o for image in images.values() for o in image.get("annotations", ())]
        return images if objects and all(map(_is_upright, objects)) else {}


def _is_upright(annotation: dict) -> bool:
    return annotation.keys() >= _KEYS and len(annotation["bbox"]) == 4


def _convert(image: dict) -> dict | None:
    if "annotations" not in image:
        return None
    objects = [o for o in image["annotations"] if not o.get("iscrowd", 0)]
    boxes = [BoxMode.convert(list(o["bbox"]), o["bbox_mode"], BoxMode.XYXY_ABS) for o in objects]
    truth = {
        "boxes": np.array(boxes, np.float64).reshape(-1, 4),
        "classes": np.array([o["category_id"] for o in objects], np.int64),
    }
    masks = [o.get("segmentation") for o in objects]
    is_known = all(mask is not None and len(mask) > 0 for mask in masks)
    if not is_known or not {"height", "width"} <= image.keys():
        return truth
    size, name = (image["height"], image["width"]), f"{image['file_name']}: an object"
    return truth | {"masks": [_encode(mask, size, name) for mask in masks]}


def _encode(mask: Any, size: tuple[int, int], name: str) -> dict:
    """COCO RLE of a mask in any form that Detectron2 takes: an array, polygons or an RLE."""
    if isinstance(mask, np.ndarray) and mask.ndim == 2:
        if mask.shape != size:
            found, legal = ("x".join(map(str, shape)) for shape in (mask.shape, size))
            raise InputError(f"{name}: segmentation is of {found} pixels, but must be of {legal}")
        return mask_util.encode(np.asfortranarray(mask.astype(bool), np.uint8))
    polygons = isinstance(mask, list | tuple)
    return to_rle([plain_list(polygon) for polygon in mask] if polygons else mask, size, name)
