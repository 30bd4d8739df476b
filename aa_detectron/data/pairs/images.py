"""The images from which pairs are cut."""

import os
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from aa_detectron.data.datasets.check import load_data_set
from aa_detectron.data.datasets.dicts_check import check_unique_ids, plain_id
from aa_detectron.data.folders import IMAGE_SUFFIXES, find_images
from aa_detectron.errors import InputError

NEEDED = ("file_name", "sem_seg_file_name", "category_id", "image_id", "height", "width")
"""Of a data set's dicts, what mappers and evaluators of pairs look at."""


def get_image_dicts(name: str) -> list[dict]:
    """Dataset dicts of a registered data set, or of all images in a folder and below.

    An image without an id takes its path from the folder of the images, with forward slashes.

    Raises:
        InputError: neither a data set nor a folder; a folder without images; two images of one id.
    """
    if name in DatasetCatalog:
        metadata = MetadataCatalog.get(name)
        root = metadata.get("image_root") or metadata.get("image_dir") or ""
        images = [_with_id(image, root) for image in load_data_set(name)]
        check_unique_ids(name, images)
        return images
    folder = Path(name)
    if not folder.is_dir():
        raise InputError(
            f"TEST.CONSISTENCY.DATASETS: {name!r} is neither a registered data set nor a folder"
        )
    files = find_images(folder)
    if not files:
        raise InputError(f"{name}: no images there ({', '.join(IMAGE_SUFFIXES)})")
    return [{"file_name": os.fspath(f), "image_id": _relative_path(f, folder)} for f in files]


def get_metadata(name: str, key: str):
    """An entry of a data set's metadata; None without one, and for a folder of images."""
    return MetadataCatalog.get(name).get(key) if name in DatasetCatalog else None


def _with_id(image: dict, root: str) -> dict:
    if "image_id" in image:
        return image | {"image_id": plain_id(image["image_id"])}
    return {"image_id": _relative_path(image["file_name"], root)} | image


def _relative_path(file_name: str | Path, root: str | Path) -> str:
    return Path(os.path.relpath(file_name, root or os.curdir)).as_posix()
