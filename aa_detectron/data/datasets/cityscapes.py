"""Cityscapes' label maps: conversion to training ids, and a check of the folders.

Detectron2 registers ``cityscapes_fine_sem_seg_{train,val,test}`` itself. The downloads unpack to
these folders:

    <root>/cityscapes
        leftImg8bit/{train,val,test}/<city>/<name>_leftImg8bit.png
        gtFine/{train,val,test}/<city>/<name>_gtFine_{labelIds.png,polygons.json,...}

Converting the labels adds <name>_gtFine_labelTrainIds.png next to the other files.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aa_detectron.data.label_maps import read_label_map
from aa_detectron.errors import InputError
from aa_detectron.utils.folders import is_hidden

from .conversion import Conversion, warn_of_old_labels

TRAINED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label ids of the benchmark's 19 classes, in the order of their training ids."""
IGNORE_LABEL = 255
IMAGE, LABEL_IDS, TRAIN_IDS = (
    "_leftImg8bit.png",
    "_gtFine_labelIds.png",
    "_gtFine_labelTrainIds.png",
)
REMEDY = "convert the labels with: python tools/prepare_sem_seg.py cityscapes"

_TABLE = np.full(256, IGNORE_LABEL, np.uint8)
_TABLE[list(TRAINED)] = np.arange(len(TRAINED))


def read_train_ids(path: Path) -> np.ndarray:
    """(H, W) uint8 training ids of a map of label ids.

    Raises:
        InputError: the file cannot be read.
    """
    return _TABLE[read_label_map(str(path))]


def plan_cityscapes(root: str) -> Iterator[Conversion]:
    """The label maps to convert, of all splits in the folder.

    Raises:
        InputError: the folder has no label maps.
    """
    folder = Path(root, "cityscapes", "gtFine")
    sources = sorted(folder.glob(f"*/*/*{LABEL_IDS}"))
    if not sources:
        expected = folder / "<split>" / "<city>" / f"<name>{LABEL_IDS}"
        raise InputError(f"{folder}: found no label maps, expected {expected}")
    for source in sources:
        target = source.with_name(source.name.replace(LABEL_IDS, TRAIN_IDS))
        yield Conversion(source, target, read_train_ids)


def check_cityscapes(image_dir: str, gt_dir: str) -> None:
    """Checks that the folders of a split have the files that Detectron2's loader needs.

    Args:
        image_dir: path of leftImg8bit/<split>.
        gt_dir: path of gtFine/<split>.

    Raises:
        InputError: a file is missing or unexpected. The message names the folder or file and what
            is expected.
    """
    images = sorted(p for p in Path(image_dir).glob("*/*") if not is_hidden(p.name))
    converted: list[tuple[Path, Path]] = []
    if not images:
        expected = Path(image_dir, "<city>", f"<name>{IMAGE}")
        raise InputError(f"{image_dir}: found no images, expected {expected}")
    for image in images:
        if not image.name.endswith(IMAGE):
            raise InputError(f"{image}: is no image of Cityscapes, expected <name>{IMAGE}")
        stem = Path(gt_dir, image.parent.name, image.name.removesuffix(IMAGE))
        for suffix in ("_gtFine_instanceIds.png", LABEL_IDS, "_gtFine_polygons.json", TRAIN_IDS):
            path = stem.with_name(stem.name + suffix)
            if not path.is_file():
                hint = f"; {REMEDY}" if suffix == TRAIN_IDS else ""
                raise InputError(f"{path}: no such file, though {image} is there{hint}")
        source, target = (stem.with_name(stem.name + s) for s in (LABEL_IDS, TRAIN_IDS))
        converted.append((source, target))
    warn_of_old_labels(converted, REMEDY)
