"""Registers the datasets of this package with Detectron2."""

import functools
import json
import os
from typing import Any

from detectron2.data.datasets import coco

from . import nuclei
from .camvid import register_camvid
from .cifar10 import register_cifar10
from .class_folders import register_class_folders
from .coco_check import check_coco
from .imagenet import register_imagenet_1k
from .imagenet_vid import register_imagenet_vid
from .register import register
from .shapes import CLASSES, FOLDERS
from .voc_sem_seg import register_voc_sem_seg

COLORS = [[230, 80, 60], [70, 130, 230], [80, 190, 90], [240, 190, 40], [160, 90, 210],
           [50, 190, 200]]  # fmt: skip
GROUND_COLOR = [120, 120, 120]
REMEDY = "make the dataset with: python tools/make_shapes.py"


def load_checked_coco(json_file: str, image_root: str, name: str, remedy: str = "") -> list[dict]:
    """Loads COCO annotations as Detectron2 does, after a check that gives clear errors.

    Args:
        json_file: path of the annotations.
        image_root: folder of the images.
        name: registered name of the dataset.
        remedy: how to get the file, for the message when it is missing.

    Returns:
        Detectron2's dataset dicts.

    Raises:
        InputError: see :func:`.coco_check.check_coco`.
    """
    check_coco(json_file, remedy)
    # Looked up at call time, since aa_detectron.compat may have replaced it.
    return coco.load_coco_json(json_file, image_root, name)


def register_checked_coco(
    name: str, metadata: dict[str, Any], json_file: str, image_root: str, remedy: str = ""
) -> None:
    """Registers a COCO dataset that is checked when it is loaded; no file is read before.

    Unlike Detectron2's ``register_coco_instances``, this replaces a dataset of the same name.

    Args:
        metadata: additional metadata of the dataset, such as "thing_classes".
        name, json_file, image_root, remedy: see :func:`load_checked_coco`.
    """
    load = functools.partial(load_checked_coco, json_file, image_root, name, remedy)
    files = {"json_file": json_file, "image_root": image_root, "remedy": remedy}
    register(name, load, evaluator_type="coco", **files, **metadata)


def load_shapes_sem_seg(json_file: str, image_root: str, sem_seg_root: str) -> list[dict]:
    """Dataset dicts of Shapes for semantic segmentation.

    Args:
        json_file: path of the instance annotations, which list the images.
        image_root: folder of the images.
        sem_seg_root: folder of the label maps.

    Raises:
        InputError: see :func:`.coco_check.check_coco`.
    """
    check_coco(json_file, REMEDY)
    with open(json_file, encoding="utf-8") as file:
        images = json.load(file)["images"]
    return [
        {
            "file_name": os.path.join(image_root, image["file_name"]),
            "sem_seg_file_name": os.path.join(sem_seg_root, image["file_name"]),
            "image_id": image["id"],
            "height": image["height"],
            "width": image["width"],
        }
        for image in images
    ]


def register_all_shapes(root: str) -> None:
    """Registers ``shapes_{train,val}``, ``shapes_sem_seg_{...}``, ``shapes_classification_{...}``.

    The files are expected in folders of ``root``; none is read before loading.
    """
    folder = os.path.join(root, FOLDERS["scenes"])
    singles = os.path.join(root, FOLDERS["classification"])
    for split in ("train", "val"):
        json_file = os.path.join(folder, "annotations", f"instances_{split}.json")
        images = os.path.join(folder, split)
        labels = os.path.join(folder, f"sem_seg_{split}")
        register_checked_coco(
            f"shapes_{split}",
            {"thing_classes": list(CLASSES), "thing_colors": COLORS},
            json_file,
            images,
            REMEDY,
        )
        register(
            f"shapes_sem_seg_{split}",
            functools.partial(load_shapes_sem_seg, json_file, images, labels),
            evaluator_type="sem_seg",
            image_root=images,
            sem_seg_root=labels,
            ignore_label=255,
            stuff_classes=["ground", *CLASSES],
            stuff_colors=[GROUND_COLOR, *COLORS],
        )
        register_class_folders(
            f"shapes_classification_{split}",
            os.path.join(singles, split),
            list(CLASSES),
            f"{REMEDY} --task classification",
        )


def register_nuclei(root: str) -> None:
    """Registers ``nuclei_{train,val}``; no file is read."""
    for split in nuclei.SPLITS:
        register_checked_coco(
            f"nuclei_{split}",
            {"thing_classes": list(nuclei.CLASSES), "thing_colors": nuclei.COLORS},
            nuclei.annotation_file(root, split),
            nuclei.image_folder(root),
            nuclei.REMEDY,
        )


def register_all(root: str) -> None:
    """Registers every dataset of this package under ``root``; no file is read."""
    register_all_shapes(root)
    register_camvid(root)
    register_cifar10(root)
    register_imagenet_1k(root)
    register_imagenet_vid(root)
    register_nuclei(root)
    register_voc_sem_seg(root)


register_all(os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")))
