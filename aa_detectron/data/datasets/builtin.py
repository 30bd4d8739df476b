"""Registers the data sets of this package with detectron2."""

import functools
import json
import os

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

COLOURS = [[230, 80, 60], [70, 130, 230], [80, 190, 90], [240, 190, 40], [160, 90, 210],
           [50, 190, 200]]  # fmt: skip
GROUND_COLOUR = [120, 120, 120]
REMEDY = "make the data set with: python tools/make_shapes.py"


def load_checked_coco(json_file, image_root, name, remedy=""):
    """Load COCO annotations as detectron2 does, after a check that gives clear errors.

    Args:
        json_file (str): the annotations.
        image_root (str): folder of the images.
        name (str): the registered name.
        remedy (str): how to get the file, for the message when it is missing.

    Returns:
        list[dict]: detectron2's data set dicts.

    Raises:
        InputError: as `check_coco`.
    """
    check_coco(json_file, remedy)
    # Looked up at call time, since aa_detectron.compat may have replaced it.
    return coco.load_coco_json(json_file, image_root, name)


def register_checked_coco(name, metadata, json_file, image_root, remedy=""):
    """Like detectron2's `register_coco_instances`, but checked on loading, and repeatable.

    Args:
        metadata (dict): added to the data set's metadata, e.g. `thing_classes`.

    The other arguments are those of `load_checked_coco`. No file is read before loading.
    """
    load = functools.partial(load_checked_coco, json_file, image_root, name, remedy)
    register(
        name, load, json_file=json_file, image_root=image_root, evaluator_type="coco", **metadata
    )


def load_shapes_sem_seg(json_file, image_root, sem_seg_root):
    """Data set dicts of Shapes for semantic segmentation.

    Args:
        json_file (str): the instance annotations, which list the images.
        image_root, sem_seg_root (str): folders of the images and of their label maps.

    Raises:
        InputError: as `check_coco`.
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


def register_all_shapes(root):
    """Register `shapes_{train,val}`, `shapes_sem_seg_{...}` and `shapes_classification_{...}`.

    They are to be found in folders of `root` once they are read.
    """
    folder = os.path.join(root, FOLDERS["scenes"])
    singles = os.path.join(root, FOLDERS["classification"])
    for split in ("train", "val"):
        json_file = os.path.join(folder, "annotations", f"instances_{split}.json")
        images = os.path.join(folder, split)
        labels = os.path.join(folder, f"sem_seg_{split}")
        register_checked_coco(
            f"shapes_{split}",
            {"thing_classes": list(CLASSES), "thing_colors": COLOURS},
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
            stuff_colors=[GROUND_COLOUR, *COLOURS],
        )
        register_class_folders(
            f"shapes_classification_{split}",
            os.path.join(singles, split),
            list(CLASSES),
            f"{REMEDY} --task classification",
        )


def register_nuclei(root):
    """Register `nuclei_{train,val}`; no file is read."""
    for split in nuclei.SPLITS:
        register_checked_coco(
            f"nuclei_{split}",
            {"thing_classes": list(nuclei.CLASSES), "thing_colors": nuclei.COLORS},
            nuclei.annotation_file(root, split),
            nuclei.image_folder(root),
            nuclei.REMEDY,
        )


def register_all(root):
    """Register every data set of this package under `root`; no file is read."""
    register_all_shapes(root)
    register_camvid(root)
    register_cifar10(root)
    register_imagenet_1k(root)
    register_imagenet_vid(root)
    register_nuclei(root)
    register_voc_sem_seg(root)


register_all(os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")))
