"""PASCAL VOC 2012 for semantic segmentation, and SBD's larger training set.

The downloads unpack to these folders:

    <root>/VOCdevkit/VOC2012 (or Detectron2's <root>/VOC2012)
        JPEGImages/<id>.jpg
        SegmentationClass/<id>.png              colors
        ImageSets/Segmentation/<split>.txt      ids, one per line
    <root>/benchmark_RELEASE/dataset            SBD (Hariharan et al., ICCV 2011)
        cls/<id>.mat
        train.txt, val.txt

Converting the labels to ids adds to VOC2012:

        SegmentationClass_detectron2/<id>.png
        SegmentationClassAug_detectron2/<id>.png, ImageSets/Segmentation/train_aug.txt
"""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat

from aa_detectron.errors import InputError
from aa_detectron.utils.files import replacing

from .conversion import Conversion, warn_of_old_labels
from .register import register

CLASSES = [
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
]  # fmt: skip
IGNORE_LABEL = 255
FOLDERS = ("VOCdevkit/VOC2012", "VOC2012")
LABELS = "SegmentationClass_detectron2"
LABELS_AUG = "SegmentationClassAug_detectron2"
SPLITS = {"train": LABELS, "val": LABELS, "trainval": LABELS, "train_aug": LABELS_AUG}
"""Folder of the label maps of each split."""


def color_map(count: int) -> list[list[int]]:
    """RGB of the first labels: bit i of a label goes to bit 7 - i // 3 of channel i % 3."""
    colors = np.zeros((count, 3), int)
    for bit in range(8):
        colors[:, bit % 3] |= (np.arange(count) >> bit & 1) << 7 - bit // 3
    return colors.tolist()


def find_voc(root: str) -> Path:
    """The folder of VOC 2012 in ``root``.

    Raises:
        InputError: ``root`` has none of :data:`FOLDERS`.
    """
    folders = [Path(root, folder) for folder in FOLDERS]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise InputError("PASCAL VOC: no folder " + " or ".join(map(str, folders)))


def read_ids(path: Path, remedy: str = "") -> list[str]:
    """The ids of a split list.

    Raises:
        InputError: the file is missing, empty or no text, or an id names a folder.
    """
    try:
        ids = path.read_text(encoding="utf-8").split()
    except OSError as error:
        hint = f"; {remedy}" if remedy else ""
        raise InputError(f"{path}: cannot be read ({error.strerror}){hint}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text in UTF-8 ({error})") from None
    for i in ids:
        if "\0" in i or i in (".", "..") or os.path.basename(i.replace("\\", "/")) != i:
            raise InputError(f"{path}: has id {i!r}, but ids must be names of files, no paths")
    if not ids:
        raise InputError(f"{path}: found no image in this list, expected one id a line")
    return ids


def load_voc_sem_seg(root: str, split: str) -> list[dict]:
    """Dataset dicts of a split: "file_name", "sem_seg_file_name", "image_id".

    No image is opened.

    Args:
        root: parent of the folders of VOC and SBD.
        split: one of :data:`SPLITS`.

    Raises:
        InputError: a folder, list, image or label map is missing.
    """
    folder = find_voc(root)
    command = "sbd" if split == "train_aug" else "voc"
    remedy = f"convert the labels with: python tools/prepare_sem_seg.py {command}"
    ids = read_ids(_list_path(folder, split), remedy if split == "train_aug" else "")
    images, labels = folder / "JPEGImages", folder / SPLITS[split]
    _check_files(images, [f"{i}.jpg" for i in ids])
    _check_files(labels, [f"{i}.png" for i in ids], remedy)
    sources = folder / "SegmentationClass", Path(root, "benchmark_RELEASE", "dataset", "cls")
    pairs = [(sources[0] / f"{i}.png", sources[1] / f"{i}.mat", labels / f"{i}.png") for i in ids]
    warn_of_old_labels(
        ((voc if voc.exists() else sbd, target) for voc, sbd, target in pairs), remedy
    )
    return [
        {
            "file_name": str(images / f"{i}.jpg"),
            "sem_seg_file_name": str(labels / f"{i}.png"),
            "image_id": i,
        }
        for i in ids
    ]


def register_voc_sem_seg(root: str) -> None:
    """Registers ``voc_2012_sem_seg_{train,val,trainval,train_aug}``; no file is read."""
    for split in SPLITS:
        register(
            f"voc_2012_sem_seg_{split}",
            functools.partial(load_voc_sem_seg, root, split),
            evaluator_type="sem_seg",
            ignore_label=IGNORE_LABEL,
            stuff_classes=list(CLASSES),
            stuff_colors=color_map(len(CLASSES)),
        )


def plan_voc(root: str) -> Iterator[Conversion]:
    """VOC's label maps to convert: palette images, whose indices are the ids.

    Raises:
        InputError: a folder or list is missing.
    """
    folder = find_voc(root)
    for i in read_ids(_list_path(folder, "trainval")):
        source = folder / "SegmentationClass" / f"{i}.png"
        yield Conversion(source, folder / LABELS / f"{i}.png", read_palette_labels)


def plan_sbd(root: str) -> Iterator[Conversion]:
    """The label maps of train_aug to convert: VOC's train, SBD's train and val, without VOC's val.

    VOC's label maps take precedence over SBD's.

    Raises:
        InputError: a folder or list is missing.
    """
    folder, sbd = find_voc(root), Path(root, "benchmark_RELEASE", "dataset")
    labeled = set(read_ids(_list_path(folder, "trainval")))
    for i in train_aug_ids(root):
        target = folder / LABELS_AUG / f"{i}.png"
        if i in labeled:
            source = folder / "SegmentationClass" / f"{i}.png"
            yield Conversion(source, target, read_palette_labels)
        else:
            yield Conversion(sbd / "cls" / f"{i}.mat", target, read_sbd_labels)


def train_aug_ids(root: str) -> list[str]:
    """Sorted ids of train_aug: 10582 with the full datasets.

    Raises:
        InputError: a folder or list is missing.
    """
    folder, sbd = find_voc(root), Path(root, "benchmark_RELEASE", "dataset")
    ids = set(read_ids(_list_path(folder, "train")))
    for name in ("train.txt", "val.txt"):
        ids.update(read_ids(sbd / name))
    return sorted(ids - set(read_ids(_list_path(folder, "val"))))


def write_train_aug_list(root: str) -> None:
    """Writes train_aug.txt; call it once all label maps of train_aug exist."""
    ids = train_aug_ids(root)
    with replacing(_list_path(find_voc(root), "train_aug")) as temporary:
        temporary.write_text("\n".join(ids) + "\n", encoding="utf-8")


def read_palette_labels(path: Path) -> np.ndarray:
    """(H, W) uint8 indices of a palette image; a map of ids is returned unchanged."""
    with Image.open(path) as image:
        if image.mode not in ("P", "L"):
            raise ValueError(f"is of mode {image.mode!r}, but must be 'P'")
        return np.array(image)


def read_sbd_labels(path: Path) -> np.ndarray:
    """(H, W) uint8 labels in a file of SBD."""
    return loadmat(path)["GTcls"]["Segmentation"][0, 0].astype(np.uint8)


def _list_path(folder: Path, split: str) -> Path:
    return folder / "ImageSets" / "Segmentation" / f"{split}.txt"


def _check_files(folder: Path, names: list[str], remedy: str = "") -> None:
    try:
        found = set(os.listdir(folder))
    except OSError:
        found = set()
    missing = [name for name in names if name not in found]
    if missing:
        hint = f"; {remedy}" if remedy else ""
        count = f"{len(missing)} of {len(names)} files are missing here"
        raise InputError(f"{folder / missing[0]}: no such file, {count}{hint}")
