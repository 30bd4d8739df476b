"""CIFAR-10 as folders of images: <root>/cifar10/{train,test}/<class>/<image>, 32 x 32 pixels.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

import os

from .class_folders import register_class_folders

CLASSES = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
]  # fmt: skip
SPLITS = ("train", "test")
REMEDY = "CIFAR-10's images must be sorted into folders of their classes"


def register_cifar10(root: str) -> None:
    """Registers ``cifar10_{train,test}``; no file is read."""
    for split in SPLITS:
        folder = os.path.join(root, "cifar10", split)
        register_class_folders(f"cifar10_{split}", folder, CLASSES, REMEDY)
