"""The images from which pairs are cut."""

import os
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from aa_detectron.consistency.records import plain
from aa_detectron.data.datasets.check import load_dataset
from aa_detectron.data.datasets.dicts_check import check_unique_ids
from aa_detectron.data.datasets.register import HOW_TO_REGISTER
from aa_detectron.errors import InputError
from aa_detectron.utils.folders import IMAGE_SUFFIXES, find_images

NEEDED = ("file_name", "sem_seg_file_name", "category_id", "image_id", "height", "width")
"""Keys of dataset dicts that the mappers and evaluators of pairs read."""


def get_image_dicts(name: str) -> list[dict]:
    """Dataset dicts of a registered dataset, or of all images in a folder and its subfolders.

    The id of an image without one is its path relative to the folder of the images, with forward
    slashes.

    Raises:
        InputError: ``name`` is neither a dataset nor a folder; the folder has no images; or two
            images have the same id.
    """
    if name in DatasetCatalog:
        metadata = MetadataCatalog.get(name)
        root = metadata.get("image_root") or metadata.get("image_dir") or ""
        images = [_with_id(image, root) for image in load_dataset(name)]
        check_unique_ids(name, images)
        return images
    folder = Path(name)
    if not folder.is_dir():
        raise InputError(
            f"TEST.CONSISTENCY.DATASETS: {name!r} is neither a registered dataset nor a folder; "
            f"{HOW_TO_REGISTER}"
        )
    files = find_images(folder)
    if not files:
        raise InputError(f"{name}: no images there ({', '.join(IMAGE_SUFFIXES)})")
    return [{"file_name": os.fspath(f), "image_id": _relative_path(f, folder)} for f in files]


def get_metadata(name: str, key: str) -> Any:
    """An entry of a dataset's metadata; None for a missing entry and for a folder of images."""
    return MetadataCatalog.get(name).get(key) if name in DatasetCatalog else None


def _with_id(image: dict, root: str) -> dict:
    if "image_id" in image:
        return image | {"image_id": plain(image["image_id"])}
    return {"image_id": _relative_path(image["file_name"], root)} | image


def _relative_path(file_name: str | Path, root: str | Path) -> str:
    return Path(os.path.relpath(file_name, root or os.curdir)).as_posix()
