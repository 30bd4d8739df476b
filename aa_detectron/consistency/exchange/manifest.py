"""The manifest of a folder of crops: the crops and the pairs that are compared.

``manifest.json`` is a COCO JSON of the crops with three more entries. Any tool that predicts on
COCO images can use it::

    {"version": 1,
     "settings": {"kind": "pairs" or "sweep", "shifts": "crop" by default, ...},
     "images": [{"id", "file_name", "width", "height", "image_id", "offset": [y, x]}, ...],
     "annotations": [], "categories": [],
     "pairs": [{"first": id of a crop, "second": id, "pair": number}, ...]}

"id" is the id of the crop and counts from 1. "image_id" is the id of the crop's image.
"""

import os
from typing import Any, NamedTuple

from aa_detectron.errors import InputError

from ..shift_kinds import SHIFT_KINDS
from ..shifts import Position
from ..sources.coco import read_json
from .record_files import IMAGE_ID, NATURAL, OFFSET, Value, check_value

NAME = "manifest.json"
VERSION = 1


def _one_of(*legal: str) -> Value:
    return Value(" or ".join(map(repr, legal)), lambda v: v in legal)


TEXT = Value("text", lambda v: isinstance(v, str) and v != "")
SIDE = Value("an integer from 1", lambda v: type(v) is int and v >= 1)
CROP = {
    "id": SIDE,
    "file_name": TEXT,
    "width": SIDE,
    "height": SIDE,
    "image_id": IMAGE_ID,
    "offset": (OFFSET, OFFSET),
}
SCHEMA = {
    "version": Value(str(VERSION), lambda v: v == VERSION),
    "settings": {"kind": _one_of("pairs", "sweep")},
    "images": [CROP],
    "pairs": [{"first": SIDE, "second": SIDE, "pair": NATURAL}],
}


class Crop(NamedTuple):
    """A crop on disk."""

    file_name: str
    """Path relative to the folder of the manifest."""
    image_id: object
    offset: Position
    size: tuple[int, int]
    """Size (height, width) in pixels."""


class Manifest(NamedTuple):
    """Crops by their ids, and pairs (first id, second id, number)."""

    settings: dict
    crops: dict[int, Crop]
    pairs: list[tuple[int, int, int]]

    def to_dict(self) -> dict:
        """Content of the file."""
        return {
            "version": VERSION,
            "settings": self.settings,
            "images": [
                {
                    "id": key,
                    "file_name": crop.file_name,
                    "width": crop.size[1],
                    "height": crop.size[0],
                    "image_id": crop.image_id,
                    "offset": list(crop.offset),
                }
                for key, crop in self.crops.items()
            ],
            "annotations": [],
            "categories": [],
            "pairs": [{"first": a, "second": b, "pair": number} for a, b, number in self.pairs],
        }


def read_manifest(path: str | os.PathLike) -> Manifest:
    """Reads a manifest that ``aa-consistency crops`` has written.

    Raises:
        InputError: a file that does not exist or does not match its schema.
    """
    content: Any = read_json(path)
    try:
        check_value(content, SCHEMA, "manifest")
        shifts = content["settings"].get("shifts", "crop")  # older manifests lack the key
        check_value(shifts, _one_of(*SHIFT_KINDS), "manifest.settings.shifts")
        if shifts != "fractional":
            check_value(content["images"], [{"offset": (NATURAL, NATURAL)}], "manifest.images")
        crops = {
            entry["id"]: Crop(
                entry["file_name"],
                entry["image_id"],
                tuple(entry["offset"]),
                (entry["height"], entry["width"]),
            )
            for entry in content["images"]
        }
        pairs = [(entry["first"], entry["second"], entry["pair"]) for entry in content["pairs"]]
        _check_pairs(crops, pairs)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return Manifest(content["settings"], crops, pairs)


def _check_pairs(crops: dict[int, Crop], pairs: list[tuple[int, int, int]]) -> None:
    if not pairs:
        raise ValueError("has no pairs")
    for number, (first, second, _) in enumerate(pairs):
        unknown = [key for key in (first, second) if key not in crops]
        if unknown:
            raise ValueError(f"pairs[{number}] has the crop {unknown[0]}, which images lack")
        a, b = crops[first], crops[second]
        if (a.image_id, a.size) != (b.image_id, b.size):
            raise ValueError(f"pairs[{number}] has crops of two images or sizes")
