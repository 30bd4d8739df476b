"""Registers the data sets of this package with detectron2."""

import functools
import os

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import coco

from .coco_check import check_coco_json
from .shapes import CLASSES

COLOURS = [[230, 80, 60], [70, 130, 230], [80, 190, 90], [240, 190, 40], [160, 90, 210],
           [50, 190, 200]]  # fmt: skip


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
        MissingAnnotations, InvalidAnnotations: as `check_coco_json`.
    """
    check_coco_json(json_file, remedy)
    # Looked up at call time, since aa_detectron.compat may have replaced it.
    return coco.load_coco_json(json_file, image_root, name)


def register_checked_coco(name, metadata, json_file, image_root, remedy=""):
    """Like detectron2's `register_coco_instances`, but checked on loading, and repeatable.

    Args:
        metadata (dict): added to the data set's metadata, e.g. `thing_classes`.

    The other arguments are those of `load_checked_coco`. No file is read before loading.
    """
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog.list():
            catalog.remove(name)
    load = functools.partial(load_checked_coco, json_file, image_root, name, remedy)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(
        json_file=json_file, image_root=image_root, evaluator_type="coco", **metadata
    )


def register_all_shapes(root):
    """Register `shapes_train` and `shapes_val`, to be found in `root`/shapes once they are read."""
    folder = os.path.join(root, "shapes")
    for split in ("train", "val"):
        register_checked_coco(
            f"shapes_{split}",
            {"thing_classes": list(CLASSES), "thing_colors": COLOURS},
            os.path.join(folder, "annotations", f"instances_{split}.json"),
            os.path.join(folder, split),
            remedy="make the data set with: python tools/make_shapes.py",
        )


register_all_shapes(os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")))
