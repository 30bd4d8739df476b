"""Check of dataset dicts that come from users' own loaders instead of a file."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.structures import BoxMode

from aa_detectron.consistency.records import plain
from aa_detectron.errors import InputError
from aa_detectron.utils.coco_records import (
    bbox_problem,
    id_problem,
    keypoints_problem,
    segmentation_problem,
    short,
)


def check_dicts(name: str, dicts: list[dict], *, for_training: bool, needs_masks: bool) -> None:
    """Checks dataset dicts in Detectron2's format, with annotations of instances.

    Args:
        name: name of the dataset.
        dicts: dataset dicts that the loader returns.
        for_training: whether the dataset is for training; otherwise it is for testing.
        needs_masks: value of ``MODEL.MASK_ON``.

    Raises:
        InputError: a record cannot be used. The message names the dataset and the record.
    """
    classes = MetadataCatalog.get(name).get("thing_classes")
    is_coco = MetadataCatalog.get(name).get("evaluator_type") == "coco"
    for number, image in enumerate(dicts):
        problem = dict_problem(image, len(classes) if classes else None, needs_masks=needs_masks)
        if not problem and is_coco and not for_training:
            problem = _ground_truth_problem(image)
        if problem:
            raise InputError(f"dataset {name}, image {number} ({file_name(image)}): {problem}")
    if not for_training:
        check_unique_ids(name, dicts)
    if for_training and is_coco and not any(map(_has_object, dicts)):
        raise InputError(f"dataset {name}: has no object to train on")


def check_unique_ids(name: str, dicts: Iterable[dict]) -> None:
    """Raises InputError if two images have the same id: they would count as one image."""
    seen: dict[str, str] = {}
    for image in dicts:
        value = plain(image.get("image_id"))
        if value is None:
            continue
        if not isinstance(value, int | float | str):
            legal = "a number or a text"
            raise InputError(f"dataset {name}: image_id is {short(value)}, but must be {legal}")
        key = str(value)  # the key of random offsets
        if key in seen:
            both = f"{seen[key]} and {file_name(image)}"
            legal = "must be of one image"
            raise InputError(f"{name}: image_id {key} belongs to {both}, but {legal}")
        seen[key] = file_name(image)


def dict_problem(
    image: object, num_classes: int | None = None, *, needs_masks: bool = False
) -> str | None:
    """What is wrong with a dataset dict, in words that follow its name; None without a problem."""
    if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
        return f"found {short(image)}, expected a dict with file_name"
    for key in ("height", "width"):
        side = image.get(key, 1)
        if not _is_integer(side) or side < 1:
            return f"{key} is {short(side)}, but must be an integer of at least 1"
    annotations = image.get("annotations", [])
    if not isinstance(annotations, list | tuple):
        return f"annotations are {short(annotations)}, but must be a list"
    size = (image["height"], image["width"]) if {"height", "width"} <= image.keys() else None
    for number, annotation in enumerate(annotations):
        problem = instance_problem(annotation, size, num_classes, needs_masks=needs_masks)
        if problem:
            return f"annotations[{number}]: {problem}"
    return None


def instance_problem(
    annotation: object, size: tuple[int, int] | None, num_classes: int | None, *, needs_masks: bool
) -> str | None:
    """What is wrong with an annotation in Detectron2's format; None without a problem.

    Args:
        annotation: {"bbox", "bbox_mode", "category_id", "segmentation", ...}.
        size: (height, width) of the image in pixels; None where it is not known.
        num_classes: number of classes; None where it is not known.
        needs_masks: whether the annotation must have a segmentation.
    """
    needed = {"bbox", "bbox_mode", "category_id"}
    if not isinstance(annotation, dict) or not needed <= annotation.keys():
        return f"found {short(annotation)}, expected a dict with {', '.join(sorted(needed))}"
    category = annotation["category_id"]
    if not _is_integer(category) or not 0 <= category < (num_classes or 2**31):
        legal = f"an integer from 0 to {num_classes - 1}" if num_classes else "an integer"
        return f"category_id is {short(category)}, but must be {legal}"
    problem = _box_problem(annotation, size)
    if problem:
        return problem
    mask = annotation.get("segmentation")
    if mask is None or (isinstance(mask, list | dict) and not mask):
        is_needed = needs_masks and not annotation.get("iscrowd", 0)
        return "has no segmentation, but MODEL.MASK_ON needs one" if is_needed else None
    problem = _mask_problem(mask, size) if size else None
    if problem:
        return f"segmentation {problem}"
    points = plain_list(annotation.get("keypoints") or [])
    return keypoints_problem(points)


def _box_problem(annotation: dict, size: tuple[int, int] | None) -> str | None:
    box, mode = plain_list(annotation["bbox"]), annotation["bbox_mode"]
    if mode not in list(BoxMode):
        return f"bbox_mode is {short(mode)}, but must be one of BoxMode's"
    if mode not in (BoxMode.XYXY_ABS, BoxMode.XYWH_ABS) or not isinstance(box, list):
        return None if isinstance(box, list) else f"bbox is {short(box)}, but must be numbers"
    if mode == BoxMode.XYXY_ABS and len(box) == 4 and set(map(type, box)) <= {int, float}:
        box = [*box[:2], box[2] - box[0], box[3] - box[1]]
    return bbox_problem(box, size or (10**6, 10**6))


def _mask_problem(mask: object, size: tuple[int, int]) -> str | None:
    if isinstance(mask, np.ndarray) and mask.ndim == 2:
        shape = "x".join(map(str, mask.shape))
        return None if mask.shape == tuple(size) else f"is of {shape} pixels, not the image's"
    if isinstance(mask, list | tuple):
        mask = [plain_list(polygon) for polygon in mask]
    return segmentation_problem(mask, size)


def _ground_truth_problem(image: dict) -> str | None:
    """What would stop Detectron2 from writing the dicts as a COCO file for COCO's evaluation."""
    problem = id_problem(plain(image.get("image_id")), "image_id")
    if problem:
        return problem
    masks = [a.get("segmentation") for a in image.get("annotations", [])]
    if any(isinstance(mask, np.ndarray) for mask in masks):
        return "has a mask that is an array, but must have polygons or RLE for COCO's evaluation"
    missing = [key for key in ("height", "width") if key not in image]
    return f"has no {missing[0]}, which COCO's evaluation reads" if missing else None


def _has_object(image: dict) -> bool:
    return any(not a.get("iscrowd", 0) for a in image.get("annotations", []))


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def plain_list(values: Any) -> Any:
    """An array, tuple or list as a list of Python's numbers; any other value unchanged."""
    if isinstance(values, np.ndarray):
        return values.ravel().tolist()
    return [plain(value) for value in values] if isinstance(values, list | tuple) else values


def file_name(image: object) -> str:
    """File name of a dataset dict, for messages."""
    return str(image.get("file_name", "without file_name")) if isinstance(image, dict) else "?"
