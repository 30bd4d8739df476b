"""Mappers that cut the crops of shifted pairs in the loader's workers."""

from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T

from aa_detectron.consistency.shifts import Offset, crop_size, draw_offsets
from aa_detectron.data.augmentation import augment
from aa_detectron.data.classification import build_center_crop, to_tensor
from aa_detectron.data.images import read_image
from aa_detectron.errors import InputError


class CropMapper:
    """Cuts crops at original resolution and applies the usual test pipeline to each crop.

    Args:
        augmentations: augmentations for testing (the resize).
        image_format: value of ``INPUT.FORMAT``.
    """

    @configurable
    def __init__(self, *, augmentations: list, image_format: str):
        self.augmentations = T.AugmentationList(augmentations)
        self.image_format = image_format

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {
            "augmentations": utils.build_augmentation(cfg, is_train=False),
            "image_format": cfg.INPUT.FORMAT,
        }

    def cut(
        self, dataset_dict: dict, image: np.ndarray, offset: Offset, size: tuple[int, int]
    ) -> dict:
        """The crop of ``size`` (height, width) at ``offset`` in the model's input format."""
        augmented = T.AugInput(cut_crop(image, offset, size))
        augment(self.augmentations, augmented, dataset_dict["file_name"])
        kept = ("file_name", "image_id", "sem_seg_file_name")
        return {key: dataset_dict[key] for key in kept if key in dataset_dict} | {
            "image": torch.as_tensor(augmented.image.transpose(2, 0, 1).copy()),
            "height": size[0],
            "width": size[1],
        }


class ShiftedPairMapper(CropMapper):
    """Cuts the two crops of a pair.

    A call takes {"file_name", "image_id", "pair_number", ...} and returns a list of two dicts in
    the model's input format, with "height" and "width" of the crop, the image's "file_name" and
    "image_id", and "pair": {"offsets": ((y, x), (y, x)), "number": int, "first": bool,
    "image_size": (height, width)}.

    Args:
        max_shift: maximum shift S in pixels, at least 1.
        seed: seed of the offsets.
        kwargs: arguments of :class:`CropMapper`.
    """

    @configurable
    def __init__(self, *, max_shift: int, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.max_shift = max_shift
        self.seed = seed

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        options = cfg.TEST.CONSISTENCY
        pairs = {"max_shift": options.MAX_SHIFT, "seed": options.SEED}
        return super().from_config(cfg) | pairs

    def __call__(self, dataset_dict: dict) -> list[dict]:
        number = dataset_dict["pair_number"]
        image = read_image(dataset_dict, self.image_format)
        height, width = image.shape[:2]
        try:
            offsets = draw_offsets(
                height,
                width,
                self.max_shift,
                seed=self.seed,
                image_id=dataset_dict["image_id"],
                pair=number,
            )
        except ValueError as error:
            raise InputError(f"{dataset_dict['file_name']}: {error}") from None
        size = crop_size(height, width, self.max_shift)
        pair = {"offsets": offsets, "number": number, "image_size": (height, width)}
        return [
            self.cut(dataset_dict, image, offset, size) | {"pair": pair | {"first": first}}
            for offset, first in zip(offsets, (True, False), strict=True)
        ]


class ClassificationPairMapper:
    """Cuts two crops from the center of an image: the metric of Zhang (ICML 2019).

    The shorter side is resized to ``resize``. From the center of ``resize`` x ``resize`` pixels two
    crops of ``size`` x ``size`` are cut at offsets in {0..S}^2, where S is the lesser of
    ``max_shift`` and resize - size - 1. With resize 256, size 224 and max_shift 32 the offsets are
    the published {0..31}^2.

    A call takes {"file_name", "image_id", "pair_number", ...} and returns a list of two dicts in
    the format of :class:`ShiftedPairMapper`.

    Args:
        resize: length of the resized shorter side in pixels.
        size: side of the crops in pixels, less than ``resize`` by 2 pixels to a quarter.
        max_shift: maximum shift in pixels, at least 1.
        image_format: value of ``INPUT.FORMAT``.
        seed: seed of the offsets.
    """

    @configurable
    def __init__(self, *, resize: int, size: int, max_shift: int, image_format: str, seed: int):
        self.center = build_center_crop(resize, resize)
        self.resize = resize
        self.size = size
        self.max_shift = min(max_shift, resize - size - 1)
        self.image_format = image_format
        self.seed = seed

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {
            "resize": cfg.INPUT.CLASSIFIER.TEST_RESIZE,
            "size": cfg.INPUT.CLASSIFIER.TEST_SIZE,
            "max_shift": cfg.TEST.CONSISTENCY.MAX_SHIFT,
            "image_format": cfg.INPUT.FORMAT,
            "seed": cfg.TEST.CONSISTENCY.SEED,
        }

    def __call__(self, dataset_dict: dict) -> list[dict]:
        image = self.center(to_tensor(read_image(dataset_dict, self.image_format)))
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


def cut_crop(image: np.ndarray, offset: Offset, size: tuple[int, int]) -> np.ndarray:
    """The crop of ``size`` (height, width) of an (H, W, C) image at ``offset`` (y, x)."""
    (y, x), (height, width) = offset, size
    return image[y : y + height, x : x + width]
