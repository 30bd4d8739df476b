"""Reads the prediction files of finished tests, and checks every value that a score needs."""

import json
import math
import reprlib
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from aa_detectron.errors import InputError
from aa_detectron.utils.coco_rle import rle_problem


def read_detections(path: Path, annotations: dict) -> list[dict]:
    """The detections of coco_instances_results.json.

    Args:
        path: path of the file.
        annotations: COCO annotations of the tested images.

    Raises:
        InputError: the file cannot be read, or a detection has an illegal value.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in annotations["images"]}
    categories = {category["id"] for category in annotations["categories"]}
    detections = _read_objects(path)
    for number, detection in enumerate(detections):
        problem = _problem(detection, sizes, categories)
        if problem:
            raise InputError(f"{path}: detection {number} {problem}")
    return detections


def _problem(detection: dict, sizes: dict, categories: set) -> str | None:
    """The problem of a detection, as the end of a sentence; None if there is none."""
    image, box = detection.get("image_id"), detection.get("bbox")
    if not _is_among(image, sizes):
        return f"has the image_id {reprlib.repr(image)}, which is none of the dataset's"
    if not _is_among(detection.get("category_id"), categories):
        found = reprlib.repr(detection.get("category_id"))
        return f"has the category_id {found}, which is none of the dataset's"
    if not _is_finite(detection.get("score")):
        return f"has the score {reprlib.repr(detection.get('score'))}, but must have a number"
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box))):
        return f"has the bbox {reprlib.repr(box)}, but must have four numbers"
    if "segmentation" not in detection:
        return None
    return _mask_problem(detection["segmentation"], sizes[image])


def _mask_problem(mask: object, size: tuple[int, int]) -> str | None:
    if not isinstance(mask, dict):
        return f"has the mask {reprlib.repr(mask)}, but must have one in run-length encoding"
    problem = rle_problem(mask, *size)
    return problem and f"has a mask that {problem}"


def _is_among(value: object, known: Container) -> bool:
    return isinstance(value, int | str) and value in known


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


class LabelPredictions:
    """The label maps of sem_seg_predictions.json.

    Images are identified by their file names without folders, so the dataset may have been moved.

    Args:
        path: path of the file, written by Detectron2's SemSegEvaluator.
        contiguous: labels, from 0, by the dataset's ids of the classes.

    Raises:
        InputError: the file cannot be read.
    """

    def __init__(self, path: Path, contiguous: dict[int, int]):
        self.path, self.contiguous = path, contiguous
        self.entries: dict[str, list[dict]] = {}
        for entry in _read_objects(path):
            name = entry.get("file_name")
            if not isinstance(name, str):
                raise InputError(f"{path}: file_name is {reprlib.repr(name)}, but must be a text")
            self.entries.setdefault(Path(name).name, []).append(entry)

    def labels(self, file: str, shape: tuple[int, int]) -> np.ndarray:
        """The predicted label map of an image, ``shape`` uint8.

        Args:
            file: file name of the image, without folders.
            shape: (height, width) of the image.

        Raises:
            InputError: the image has no prediction, or a mask cannot be used.
        """
        if file not in self.entries:
            raise InputError(f"{self.path}: has no prediction for {file}")
        labels = np.zeros(shape, np.uint8)
        for entry in self.entries[file]:
            category, mask = entry.get("category_id"), entry.get("segmentation")
            problem = _mask_problem(mask, shape)
            if not _is_among(category, self.contiguous):
                problem = f"has the category_id {category!r}, which is none of the dataset's"
            if problem:
                raise InputError(f"{self.path}: the prediction for {file} {problem}")
            labels[mask_util.decode(mask).astype(bool)] = self.contiguous[entry["category_id"]]
        return labels


def read_top1(path: Path) -> list[dict]:
    """The images of accuracy.json: [{"image_id": number or text, "top1": bool}, ...].

    Raises:
        InputError: the file cannot be read, or an image lacks a value.
    """
    content = _read_json(path)
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not images:
        raise InputError(f"{path}: must be an object with a list of images")
    for number, image in enumerate(images):
        if not (isinstance(image, dict) and isinstance(image.get("image_id"), int | str)):
            raise InputError(f"{path}: image {number} has no image_id")
        if type(image.get("top1")) is not bool:
            found = reprlib.repr(image.get("top1"))
            raise InputError(f"{path}: top1 of image {number} is {found}, but must be a bool")
    return images


def read_losses(path: Path) -> dict[int, float]:
    """The total loss by iteration from a metrics.json.

    Of two lines of one iteration the later one counts.

    Returns:
        {iteration: loss}, in the order of iterations; empty without the file.

    Raises:
        InputError: a line cannot be read.
    """
    losses: dict[int, float] = {}
    for number, values in enumerate(_read_metrics(path), 1):
        loss = values.get("total_loss")
        if "total_loss" in values and not _is_finite(loss):
            found = f"line {number} has the total_loss {reprlib.repr(loss)}"
            raise InputError(f"{path}: cannot be read ({found})")
        if loss is not None:
            losses[values["iteration"]] = float(loss)
    return dict(sorted(losses.items()))


def read_latest(path: Path) -> dict[str, float]:
    """The latest values in a metrics.json, without those that are no finite number.

    Returns:
        {"bbox/AP": percent, ...}; empty without the file.

    Raises:
        InputError: a line cannot be read.
    """
    latest = {name: value for values in _read_metrics(path) for name, value in values.items()}
    return {name: float(value) for name, value in latest.items() if _is_finite(value)}


def _read_metrics(path: Path) -> list[dict]:
    """The lines of a metrics.json, each with an iteration; empty without the file."""
    if not path.exists():
        return []
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for number, values in enumerate(lines, 1):
            if not isinstance(values, dict) or type(values.get("iteration")) is not int:
                raise ValueError(f"line {number} is no object with an iteration")
    except (OSError, RecursionError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    return lines


def _read_objects(path: Path) -> list[dict]:
    content = _read_json(path)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise InputError(f"{path}: must be a list of objects")
    return content


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
