"""Nuclei of the Data Science Bowl 2018 (BBBC038v1, stage 1) for instance segmentation.

The download unpacks to these folders:

    <root>/nuclei/stage1_train/<id>
        images/<id>.png         RGBA
        masks/<any name>.png    one per object: 0 outside, any other value inside

Converting the masks adds <root>/nuclei/annotations/instances_{train,val}.json in COCO's format.

The download has no labels of the test set, so stage1_train is split. nuclei_train.txt and
nuclei_val.txt in this folder list the ids; :mod:`.nuclei_split` says how they were chosen. Images
that neither file lists are ignored: a few images of the first release have no usable masks.
"""

import os
from importlib import resources
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from aa_detectron.data.images import read_image
from aa_detectron.data.label_maps import read_label_map
from aa_detectron.errors import InputError
from aa_detectron.utils.files import write_json

SPLITS = ("train", "val")
CLASSES = ["nucleus"]
COLORS = [[70, 130, 230]]
REMEDY = "convert the masks with: python tools/prepare_nuclei.py"
MAX_OVERLAP = 0.1
"""Maximum fraction of a mask that earlier masks of the image also cover. A few masks overlap."""


def image_folder(root: str) -> str:
    """Path of the folder of all images under ``root``."""
    return os.path.join(root, "nuclei", "stage1_train")


def annotation_file(root: str, split: str) -> str:
    """Path of the COCO JSON of a split under ``root``."""
    return os.path.join(root, "nuclei", "annotations", f"instances_{split}.json")


def read_split(split: str) -> list[str]:
    """Sorted ids of the images in "train" or "val"."""
    text = resources.files(__package__).joinpath(f"nuclei_{split}.txt").read_text(encoding="utf-8")
    return text.split()


def convert_nuclei(root: str, split: str) -> bool:
    """Writes the annotations of a split, whole or not at all, with a progress bar.

    Args:
        root: parent of the folder "nuclei".
        split: "train" or "val".

    Returns:
        False if the file already exists; it is kept.

    Raises:
        InputError: a file is missing, unreadable or illegal. The message names it.
    """
    target = annotation_file(root, split)
    if os.path.exists(target):
        return False
    write_json(target, coco_annotations(image_folder(root), read_split(split), split))
    return True


def coco_annotations(folder: str, ids: list[str], title: str = "images") -> dict:
    """The COCO annotations of some images.

    Args:
        folder: parent of the images' own folders.
        ids: names of the images' folders. An image's id in the annotations is its position in this
            list, from 1.
        title: label of the progress bar.

    Raises:
        InputError: a folder or an image is missing or unreadable; see also :func:`read_masks`.
    """
    _check_folders(folder, ids)
    images: list[dict] = []
    annotations: list[dict] = []
    for number, name in enumerate(tqdm(ids, desc=title, unit="img"), 1):
        file_name = f"{name}/images/{name}.png"
        path = os.path.join(folder, file_name)
        height, width = read_image({"file_name": path}, "RGB").shape[:2]
        images.append({"id": number, "file_name": file_name, "height": height, "width": width})
        for mask in read_masks(os.path.join(folder, name, "masks"), (height, width)):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **_encode(mask)})
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def read_masks(folder: str, size: tuple[int, int]) -> list[np.ndarray]:
    """The (H, W) bool masks of an image, in the order of their file names.

    Hidden files, such as those that archive programs leave behind, are ignored.

    Args:
        folder: folder with one PNG per object.
        size: (height, width) of the image.

    Raises:
        InputError: there are no masks; a file is no readable single-channel PNG of the image's
            size; a mask is empty; or a mask overlaps earlier masks by more than
            :data:`MAX_OVERLAP`.
    """
    taken, masks = np.zeros(size, bool), []
    for path in _mask_files(folder):
        mask = read_label_map(path, size) > 0
        if not mask.any():
            raise InputError(f"{path}: is empty, but a mask must have at least one pixel above 0")
        overlap = (mask & taken).sum() / mask.sum()
        if overlap > MAX_OVERLAP:
            legal = f"at most {MAX_OVERLAP:.0%} may"
            raise InputError(f"{path}: overlaps other masks by {overlap:.0%}, but {legal}")
        taken |= mask
        masks.append(mask)
    return masks


def _mask_files(folder: str) -> list[str]:
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    for name in names:
        if not name.lower().endswith(".png"):
            raise InputError(f"{os.path.join(folder, name)}: is no mask, expected PNGs only")
    if not names:
        raise InputError(f"{folder}: found no masks, expected one PNG for each object")
    return [os.path.join(folder, name) for name in names]


def _check_folders(folder: str, ids: list[str]) -> None:
    missing = [name for name in ids if not Path(folder, name).is_dir()]
    if missing:
        count = f"{len(missing)} of {len(ids)} folders are missing"
        layout = "expected stage1_train of BBBC038v1 (Data Science Bowl 2018)"
        raise InputError(f"{os.path.join(folder, missing[0])}: no such folder, {count}; {layout}")


def _encode(mask: np.ndarray) -> dict:
    """COCO's fields of an object: run-length code, box, area."""
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {
        "category_id": 1,
        "iscrowd": 0,
        "area": int(coco_mask.area(code)),
        "bbox": coco_mask.toBbox(code).tolist(),
        "segmentation": {"size": list(mask.shape), "counts": code["counts"].decode()},
    }
