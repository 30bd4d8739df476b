"""ImageNet-1k (ILSVRC 2012) in its usual folder layout.

imagenet_1k.json lists the 1000 classes in the order of torchvision's networks, which is that of
their sorted wnids. The wnids are those of timm (Apache-2.0), the names those of torchvision (BSD).
Each name is among the words of its synset in WordNet 3.0, but for two that torchvision made longer,
to tell apart classes of the same name: "crane bird" and "maillot tank suit".
"""

import functools
import json
import os
from importlib import resources

from .class_folders import load_class_folders
from .register import register

REMEDY = "ImageNet's images, also those of val, must be sorted into folders of their wnids"


def read_class_list(file_name: str) -> list[dict]:
    """A class list that lies beside this file."""
    return json.loads(resources.files(__package__).joinpath(file_name).read_text(encoding="utf-8"))


CLASSES = read_class_list("imagenet_1k.json")
"""{"wnid", "name"} of the classes, by index."""


def register_imagenet_1k(root: str) -> None:
    """Register ``imagenet_1k_{train,val}``: ``root``/imagenet/{train,val}/<wnid>/``*.JPEG``.

    The metadata has the "classes" (names) and "wnids". Nothing there is read before loading, which
    raises as :func:`~aa_detectron.data.datasets.class_folders.load_class_folders` does.
    """
    wnids = [c["wnid"] for c in CLASSES]
    for split in ("train", "val"):
        folder = os.path.join(root, "imagenet", split)
        register(
            f"imagenet_1k_{split}",
            functools.partial(load_class_folders, folder, wnids, REMEDY),
            image_root=folder,
            evaluator_type="classification",
            classes=[c["name"] for c in CLASSES],
            wnids=wnids,
        )
