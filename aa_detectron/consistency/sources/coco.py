"""Images and objects of a COCO JSON."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import numpy as np
import pycocotools.mask as mask_util

from aa_detectron.errors import InputError
from aa_detectron.utils.coco_records import (
    annotation_problem,
    id_problem,
    image_problem,
    segmentation_problem,
    short,
)
from aa_detectron.utils.coco_rle import compressed

Size = tuple[int, int]
AnyPath = str | os.PathLike
MAX_CATEGORY = 2**63 - 1
"""Maximum category id."""
CATEGORY = f"an integer from 0 to {MAX_CATEGORY}"
"""Legal category ids, for messages."""


def read_json(path: str | os.PathLike) -> object:
    """Reads a JSON file.

    Raises:
        InputError: a file that is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read as JSON ({reason})") from None


def read_coco(
    path: str | os.PathLike,
    folder: str | os.PathLike | None,
    truth: bool,
    category_ids: list[int] | None,
) -> Iterator[tuple[object, Path, Size, dict | None]]:
    """Reads (image id, file, (height, width), ground truth) of every image.

    Args:
        path: path of the JSON.
        folder: folder of the images; None for the folder of the JSON.
        truth: whether the objects are read; otherwise the ground truth is None.
        category_ids: category id of each class; None if category ids are the classes.

    Raises:
        InputError: an illegal record; the message names the record, its value and the legal values.
    """
    content = read_json(path)
    images = _records(content, "images", path)
    objects: dict[object, list[dict]] = {}
    if truth:
        for number, annotation in enumerate(_records(content, "annotations", path)):
            _require_keys(
                annotation, ("image_id", "category_id", "bbox"), f"annotations[{number}]", path
            )
            problem = id_problem(annotation["image_id"], "image_id")
            if problem:
                raise InputError(f"{path}: annotations[{number}] {problem}")
            objects.setdefault(annotation["image_id"], []).append(annotation)
    for number, image in enumerate(images):
        _require_keys(image, ("id", "file_name", "height", "width"), f"images[{number}]", path)
        problem = image_problem(image)
        if problem:
            raise InputError(f"{path}: images[{number}] {problem}")
    unknown = objects.keys() - {image["id"] for image in images}
    if unknown:
        name = short(min(unknown, key=str))
        raise InputError(f"{path}: annotations have image_id {name}, but no image has this id")
    for image in images:
        size = image["height"], image["width"]
        file = Path(folder if folder is not None else Path(path).parent, image["file_name"])
        found = _truth(objects.get(image["id"], []), size, category_ids, path) if truth else None
        yield image["id"], file, size, found


def _records(content: object, key: str, path: AnyPath) -> list[dict]:
    records = content.get(key) if isinstance(content, dict) else None
    if not isinstance(records, list):
        raise InputError(f"{path}: {key} is {short(records)}, but must be a list: a COCO JSON")
    return records


def _require_keys(record: object, keys: tuple[str, ...], place: str, path: AnyPath) -> None:
    missing = [key for key in keys if not isinstance(record, dict) or key not in record]
    if missing:
        raise InputError(f"{path}: {place} is {short(record)}, without {missing[0]}")


def _truth(
    annotations: list[dict], size: Size, category_ids: list[int] | None, path: AnyPath
) -> dict:
    """Boxes, classes and, if all objects have them, masks; without crowds."""
    boxes, classes, masks = [], [], []
    for annotation in annotations:
        name = f"{path}: annotation {short(annotation.get('id'))}"
        problem = annotation_problem(annotation, size)
        if problem:
            raise InputError(f"{name} {problem}")
        if annotation.get("iscrowd"):
            continue
        x, y, width, height = annotation["bbox"]
        boxes.append([x, y, x + width, y + height])
        classes.append(_class(annotation["category_id"], category_ids, name))
        if annotation.get("segmentation"):
            masks.append(to_rle(annotation["segmentation"], size, name))
    truth = {
        "boxes": np.array(boxes, np.float64).reshape(-1, 4),
        "classes": np.array(classes, np.int64),
    }
    return truth | ({"masks": masks} if len(masks) == len(boxes) else {})


def _class(category: object, category_ids: list[int] | None, name: str) -> int:
    if category_ids is not None and category in category_ids:
        return category_ids.index(category)
    if category_ids is not None or not is_category(category):
        legal = CATEGORY if category_ids is None else f"one of {short(category_ids)}"
        raise InputError(f"{name} has category_id {short(category)}, but must have {legal}")
    return category


def is_category(value: object) -> TypeGuard[int]:
    """Whether a category id of a JSON is :data:`CATEGORY`, so that an array can hold it."""
    return type(value) is int and 0 <= value <= MAX_CATEGORY


def to_rle(segmentation: list | dict, size: Size, name: str) -> dict:
    """Converts a mask to a COCO RLE.

    Args:
        segmentation: polygons, or an RLE with runs as a list or as COCO's string. A mask without
            polygons is empty.
        size: size (height, width) of the image in pixels.
        name: name of the mask's owner, for the message.

    Raises:
        InputError: a mask that pycocotools cannot decode.
    """
    problem = segmentation_problem(segmentation, size)
    if problem:
        raise InputError(f"{name}: segmentation {problem}")
    if segmentation == []:
        return mask_util.encode(np.zeros(size, np.uint8, order="F"))
    if isinstance(segmentation, list):
        return mask_util.merge(mask_util.frPyObjects(segmentation, *size))
    return compressed(segmentation)
