"""Files of predictions for the crops of a manifest: COCO results, label maps, a CSV of classes.

Each public function takes a path and returns a function of the manifest. That function checks all
files against the manifest, and returns a function that reads the prediction of a single crop.
"""

import csv
import math
import os
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from PIL import Image

from aa_detectron.errors import InputError
from aa_detectron.utils.coco_records import is_numeric, short
from aa_detectron.utils.pillow import PILLOW_ERRORS, WIDE_MODES, unreadable

from ..sources.coco import CATEGORY, MAX_CATEGORY, is_category, read_json, to_rle
from .manifest import Crop, Manifest

Read = Callable[[int], tuple[Any, str]]
"""Function from the id of a crop to its prediction and the file's name for messages."""
Predictions = Callable[[Manifest], Read]

DIGITS = len(str(MAX_CATEGORY))
"""Maximum number of digits of a class; Python does not convert thousands of digits."""
NAMED = 5
"""Maximum number of crops that a message names."""


def instances_file(path: str | os.PathLike) -> Predictions:
    """Opens COCO results, a list with a dict for each instance.

    A dict is {"image_id": id of a crop, "category_id", "score", "bbox": [x, y, width, height] or
    "segmentation": RLE, or both}. A crop without a result has no instances.
    """

    def check(manifest: Manifest) -> Read:
        results = _read_results(path)
        by_crop: dict[int, list[dict]] = {key: [] for key in manifest.crops}
        surplus = {str(r["image_id"]) for r in results if not _is_crop(r["image_id"], by_crop)}
        _require_none(path, "of crops that the manifest lacks", sorted(surplus))
        has_masks = any("segmentation" in result for result in results)
        for number, result in enumerate(results):
            name = f"{path}: result {number}"
            _check_result(result, has_masks, name)
            by_crop[result["image_id"]].append(result | {"name": name})
        return lambda key: (_instances(by_crop[key], manifest.crops[key], has_masks), str(path))

    return check


def _read_results(path: str | os.PathLike) -> list[dict]:
    results = read_json(path)
    if not isinstance(results, list):
        raise InputError(f"{path}: holds {short(results)}, but must hold a list of COCO results")
    if not results:
        raise InputError(f"{path}: holds no results, so there is nothing to compare")
    for number, result in enumerate(results):
        for key in ("image_id", "category_id", "score"):
            if not isinstance(result, dict) or key not in result:
                raise InputError(f"{path}: result {number} is {short(result)}, without {key}")
    return results


def _is_crop(value: object, crops: dict) -> bool:
    return type(value) is int and value in crops


def _check_result(result: dict, has_masks: bool, name: str) -> None:
    score, category, box = result["score"], result["category_id"], result.get("bbox")
    if not is_numeric([score]):
        raise InputError(f"{name} has score {short(score)}, but must have a finite number")
    if not is_category(category):
        raise InputError(f"{name} has category_id {short(category)}, but must have {CATEGORY}")
    if has_masks and "segmentation" not in result:
        raise InputError(f"{name} has no segmentation, but other results have one")
    if box is None and not has_masks:
        raise InputError(f"{name} has neither bbox nor segmentation")
    if box is not None:
        is_box = isinstance(box, list) and len(box) == 4 and is_numeric(box) and min(box[2:]) >= 0
        if not is_box:
            legal = "four finite numbers x, y, width, height"
            raise InputError(f"{name} has bbox {short(box)}, but must have {legal}")


def _instances(results: list[dict], crop: Crop, has_masks: bool) -> dict:
    masks = [to_rle(r["segmentation"], crop.size, r["name"]) for r in results if has_masks]
    boxes = [
        _around(masks[number]) if result.get("bbox") is None else _corners(*result["bbox"])
        for number, result in enumerate(results)
    ]
    prediction = {
        "boxes": np.array(boxes, np.float64).reshape(-1, 4),
        "scores": np.array([result["score"] for result in results], np.float64),
        "classes": np.array([result["category_id"] for result in results], np.int64),
    }
    return prediction | ({"masks": masks} if has_masks else {})


def _corners(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y + height]


def _around(mask: dict) -> list[float]:
    return _corners(*mask_util.toBbox(mask).tolist())


def label_folder(path: str | os.PathLike) -> Predictions:
    """Opens a folder with a label map for each crop, a PNG of one channel named as the crop."""

    def check(manifest: Manifest) -> Read:
        folder = Path(path)
        if not folder.is_dir():
            raise InputError(f"{folder}: is no folder of label maps")
        names = {Path(crop.file_name).name: key for key, crop in manifest.crops.items()}
        found = {entry.name for entry in folder.iterdir() if entry.suffix.lower() == ".png"}
        _require_none(folder, "missing", sorted(names.keys() - found))
        _require_none(folder, "of no crop", sorted(found - names.keys()))
        files = {key: folder / name for name, key in names.items()}
        return lambda key: ({"sem_seg": _read_labels(files[key])}, str(files[key]))

    return check


def _read_labels(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            if image.mode not in ("1", "L", "P", "I", *WIDE_MODES):
                raise InputError(f"{path}: is of mode {image.mode}, but must have one channel")
            return np.array(image).astype(np.int64)
    except PILLOW_ERRORS as error:
        raise unreadable(str(path), "a label map", error) from None


def class_file(path: str | os.PathLike) -> Predictions:
    """Opens a CSV with a line per crop: columns file_name, class and, optionally, score."""

    def check(manifest: Manifest) -> Read:
        rows = _read_rows(path)
        names = {Path(crop.file_name).name: key for key, crop in manifest.crops.items()}
        _require_none(path, "missing", sorted(names.keys() - rows.keys()))
        _require_none(path, "of no crop", sorted(rows.keys() - names.keys()))
        by_crop = {names[name]: row for name, row in rows.items()}
        return lambda key: (by_crop[key], str(path))

    return check


def _read_rows(path: str | os.PathLike) -> dict[str, dict]:
    """Reads {name of a crop: prediction}."""
    rows: dict[str, dict] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = {"file_name", "class"} - set(reader.fieldnames or ())
            if missing:
                found = short(reader.fieldnames or [])
                raise InputError(f"{path}: has columns {found}, without {sorted(missing)[0]}")
            for row in reader:
                # Unlike Path, it splits at "\\" as well, on every system.
                name = PureWindowsPath(row["file_name"] or "").name
                if name in rows:
                    raise InputError(f"{path}: line {reader.line_num} has {name} again")
                rows[name] = _class_of(row, f"{path}: line {reader.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read as CSV ({reason})") from None
    return rows


def _class_of(row: dict, name: str) -> dict:
    text, score = (row["class"] or "").strip(), row.get("score")
    number = int(text) if text.isdecimal() and len(text) <= DIGITS else None
    if not is_category(number):
        raise InputError(f"{name} has class {short(text)}, but must have {CATEGORY}")
    try:
        value = float(score) if score else None
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise InputError(f"{name} has score {short(score)}, but must have a finite number")
    return {"class": number} | ({} if value is None else {"score": value})


def _require_none(path: str | os.PathLike, problem: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        number = "prediction is" if len(names) == 1 else "predictions are"
        shown = ", ".join(names[:NAMED]) + more
        raise InputError(f"{path}: {len(names)} {number} {problem}: {shown}")
