"""Images for classification: torchvision's augmentation, and shifted pairs of centre crops."""

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from torchvision.transforms import v2

from aa_detectron.consistency.shifts import draw_offsets

from .images import read_image


def build_classification_augmentation(cfg: CfgNode, is_train: bool) -> v2.Transform:
    """The usual pipelines of ImageNet, on (3, H, W) uint8 tensors.

    Training: a crop of random area and aspect ratio, resized, and a random flip. Testing: the
    shorter side resized, and the centre.
    """
    options = cfg.INPUT.CLASSIFIER
    if is_train:
        size = options.TRAIN_SIZE
        crop = v2.RandomResizedCrop((size, size), scale=options.TRAIN_AREA, antialias=True)
        return v2.Compose([crop, v2.RandomHorizontalFlip()])
    return _centre(options.TEST_RESIZE, options.TEST_SIZE)


def _centre(resize: int, size: int) -> v2.Transform:
    return v2.Compose([v2.Resize(resize, antialias=True), v2.CenterCrop((size, size))])


class ClassificationMapper:
    """Reads an image and augments it.

    Called with a dataset dict, returns it with "image", (3, size, size) uint8, and the "height"
    and "width" of the image.

    Args:
        augmentation: on (3, H, W) uint8 tensors.
        image_format: as ``INPUT.FORMAT``.
    """

    @configurable
    def __init__(self, *, augmentation: v2.Transform, image_format: str):
        self.augmentation = augmentation
        self.image_format = image_format

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True):
        return {
            "augmentation": build_classification_augmentation(cfg, is_train),
            "image_format": cfg.INPUT.FORMAT,
        }

    def __call__(self, dataset_dict: dict) -> dict:
        image = _to_tensor(read_image(dataset_dict, self.image_format))
        size = {"height": image.shape[-2], "width": image.shape[-1]}
        return dataset_dict | size | {"image": self.augmentation(image)}


class ClassificationPairMapper:
    """Cuts two crops from the centre of an image: the metric of Zhang (ICML 2019).

    The shorter side is resized to ``resize``, the centre of ``resize`` x ``resize`` cut out, and
    from it two crops of ``size`` x ``size`` at offsets in {0..S}^2, S the lesser of ``max_shift``
    and resize - size - 1; with 32, 256 and 224 these are the published {0..31}^2.

    Called with {"file_name", "image_id", "pair_number", ...}, returns a list of two dicts like
    those of :class:`~aa_detectron.data.pairs.ShiftedPairMapper`.

    Args:
        resize, size: in pixels, ``size`` 2 pixels to a quarter less.
        max_shift: in pixels, at least 1.
        image_format: as ``INPUT.FORMAT``.
        seed: of the offsets.

    """

    @configurable
    def __init__(self, *, resize: int, size: int, max_shift: int, image_format: str, seed: int):
        self.centre = _centre(resize, resize)
        self.resize = resize
        self.size = size
        self.max_shift = min(max_shift, resize - size - 1)
        self.image_format = image_format
        self.seed = seed

    @classmethod
    def from_config(cls, cfg: CfgNode):
        return {
            "resize": cfg.INPUT.CLASSIFIER.TEST_RESIZE,
            "size": cfg.INPUT.CLASSIFIER.TEST_SIZE,
            "max_shift": cfg.TEST.CONSISTENCY.MAX_SHIFT,
            "image_format": cfg.INPUT.FORMAT,
            "seed": cfg.TEST.CONSISTENCY.SEED,
        }

    def __call__(self, dataset_dict: dict) -> list[dict]:
        image = self.centre(_to_tensor(read_image(dataset_dict, self.image_format)))
        number = dataset_dict["pair_number"]
        offsets = draw_offsets(
            self.resize,
            self.resize,
            self.max_shift,
            seed=self.seed,
            image_id=dataset_dict["image_id"],
            pair=number,
        )
        pair = {"offsets": offsets, "number": number, "image_size": (self.resize, self.resize)}
        return [
            dataset_dict
            | {
                "image": image[:, y : y + self.size, x : x + self.size],
                "height": self.size,
                "width": self.size,
                "pair": pair | {"first": first},
            }
            for (y, x), first in zip(offsets, (True, False), strict=True)
        ]


def _to_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))
