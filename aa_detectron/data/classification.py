"""Images for classification: torchvision's augmentation."""

from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from torchvision.transforms import v2

from .images import read_image

_FLIPS = {
    "horizontal": [v2.RandomHorizontalFlip()],
    "vertical": [v2.RandomVerticalFlip()],
    "none": [],
}
"""{value of INPUT.RANDOM_FLIP: transforms}."""


def build_classification_augmentation(cfg: CfgNode, is_train: bool) -> v2.Transform:
    """The usual pipelines for ImageNet, on (3, H, W) uint8 tensors.

    Training takes a crop of random area and aspect ratio, resizes it and flips it at random, as
    ``INPUT.RANDOM_FLIP`` says. Testing resizes the shorter side and takes the center.
    """
    options = cfg.INPUT.CLASSIFIER
    if is_train:
        size = options.TRAIN_SIZE
        crop = v2.RandomResizedCrop((size, size), scale=options.TRAIN_AREA, antialias=True)
        return v2.Compose([crop, *_FLIPS[cfg.INPUT.RANDOM_FLIP]])
    return build_center_crop(options.TEST_RESIZE, options.TEST_SIZE)


def build_center_crop(resize: int, size: int) -> v2.Transform:
    """Resizes the shorter side to ``resize`` pixels; cuts ``size`` x ``size`` from the center."""
    return v2.Compose([v2.Resize(resize, antialias=True), v2.CenterCrop((size, size))])


class ClassificationMapper:
    """Reads an image and augments it.

    A call takes a dataset dict and returns it with "image", (3, size, size) uint8, and the "height"
    and "width" of the image before augmentation.

    Args:
        augmentation: transform of (3, H, W) uint8 tensors.
        image_format: value of ``INPUT.FORMAT``.
    """

    @configurable
    def __init__(self, *, augmentation: v2.Transform, image_format: str):
        self.augmentation = augmentation
        self.image_format = image_format

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        return {
            "augmentation": build_classification_augmentation(cfg, is_train),
            "image_format": cfg.INPUT.FORMAT,
        }

    def __call__(self, dataset_dict: dict) -> dict:
        image = to_tensor(read_image(dataset_dict, self.image_format))
        size = {"height": image.shape[-2], "width": image.shape[-1]}
        return dataset_dict | size | {"image": self.augmentation(image)}


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """An (H, W, C) image as a contiguous (C, H, W) tensor."""
    return torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))
