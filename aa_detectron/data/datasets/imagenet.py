"""ImageNet-1k (ILSVRC 2012) in its usual folder layout.

imagenet_1k.json lists the 1000 classes in the order of torchvision's networks: sorted by wnid. The
wnids come from timm (Apache-2.0), the names from torchvision (BSD). Each name is a word of its
synset in WordNet 3.0, except "crane bird" and "maillot tank suit": torchvision made these two
longer to distinguish classes of the same name.
"""

import functools
import json
import os
from importlib import resources

from .class_folders import load_class_folders
from .register import register

REMEDY = "ImageNet's images, also those of val, must be sorted into folders of their wnids"


def read_class_list(file_name: str) -> list[dict]:
    """The class list in a file of this folder."""
    return json.loads(resources.files(__package__).joinpath(file_name).read_text(encoding="utf-8"))


CLASSES = read_class_list("imagenet_1k.json")
"""{"wnid", "name"} of each class, by index."""


def register_imagenet_1k(root: str) -> None:
    """Registers ``imagenet_1k_{train,val}``: ``root``/imagenet/{train,val}/<wnid>/``*.JPEG``.

    The metadata has "classes" (names) and "wnids". No file is read before loading. For the errors
    of loading see :func:`~aa_detectron.data.datasets.class_folders.load_class_folders`.
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
