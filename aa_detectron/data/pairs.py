"""Loader of shifted pairs: the crops are cut in the workers, a batch is a flat list of crops.

Any Detectron2 model takes such a batch as it takes every other; which crop belongs to which pair
is in the key "pair" of its dict. Labels are neither needed nor used.
"""

import itertools
import os
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetCatalog, MetadataCatalog, build_detection_test_loader
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T

from aa_detectron.config import CLASSIFIER
from aa_detectron.consistency.shifts import Offset, crop_size, draw_offsets
from aa_detectron.errors import InputError

from .classification import ClassificationPairMapper
from .datasets.explain import explained
from .images import IMAGE_SUFFIXES, read_image

NEEDED = ("file_name", "sem_seg_file_name", "category_id", "image_id", "height", "width")
"""Of a data set's dicts, what mappers and evaluators of pairs look at."""


class CropMapper:
    """Cuts crops at original resolution and takes each through the usual test pipeline.

    Args:
        augmentations: those of testing (the resize).
        image_format: as ``INPUT.FORMAT``.
    """

    @configurable
    def __init__(self, *, augmentations: list, image_format: str):
        self.augmentations = T.AugmentationList(augmentations)
        self.image_format = image_format

    @classmethod
    def from_config(cls, cfg: CfgNode):
        return {
            "augmentations": utils.build_augmentation(cfg, is_train=False),
            "image_format": cfg.INPUT.FORMAT,
        }

    def cut(
        self, dataset_dict: dict, image: np.ndarray, offset: Offset, size: tuple[int, int]
    ) -> dict:
        """The crop of ``size`` (height, width) at ``offset`` in the model's input format."""
        augmented = T.AugInput(cut_crop(image, offset, size))
        self.augmentations(augmented)
        kept = ("file_name", "image_id", "sem_seg_file_name")
        return {key: dataset_dict[key] for key in kept if key in dataset_dict} | {
            "image": torch.as_tensor(augmented.image.transpose(2, 0, 1).copy()),
            "height": size[0],
            "width": size[1],
        }


class ShiftedPairMapper(CropMapper):
    """Cuts the two crops of a pair.

    Called with {"file_name", "image_id", "pair_number", ...}, returns a list of two dicts in the
    model's input format, with "height" and "width" of the crop, the image's "file_name" and
    "image_id", and "pair": {"offsets": ((y, x), (y, x)), "number": int, "first": bool,
    "image_size": (height, width)}.

    Args:
        max_shift: S.
        seed: of the offsets.
        kwargs: as in the base.
    """

    @configurable
    def __init__(self, *, max_shift: int, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.max_shift = max_shift
        self.seed = seed

    @classmethod
    def from_config(cls, cfg: CfgNode):
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


def cut_crop(image, offset: Offset, size: tuple[int, int]):
    """The crop of ``size`` (height, width) of an (H, W, C) image at ``offset`` (y, x)."""
    (y, x), (height, width) = offset, size
    return image[y : y + height, x : x + width]


def flatten_pairs(batch: list[list[dict]]) -> list[dict]:
    """Collates pairs to one flat list: first, second, first, second, ..."""
    return list(itertools.chain.from_iterable(batch))


def get_image_dicts(name: str) -> list[dict]:
    """Dataset dicts of a registered data set, or of all images in a folder and below.

    An image without an id takes its path from the folder of the images, with forward slashes.

    Raises:
        InputError: neither a data set nor a folder; a folder without images; images with one id.
    """
    if name in DatasetCatalog:
        with explained([name]):
            images = DatasetCatalog.get(name)
            assert images, "empty, which is explained"
        metadata = MetadataCatalog.get(name)
        root = metadata.get("image_root") or metadata.get("image_dir") or ""
        images = [
            {"image_id": _relative_path(image["file_name"], root)} | image for image in images
        ]
        check_image_ids(name, images)
        return images
    folder = Path(name)
    if not folder.is_dir():
        raise InputError(
            f"TEST.CONSISTENCY.DATASETS: {name!r} is neither a registered data set nor a folder"
        )
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InputError(f"{name}: no images there ({', '.join(IMAGE_SUFFIXES)})")
    return [{"file_name": os.fspath(f), "image_id": _relative_path(f, folder)} for f in files]


def check_image_ids(name: str, images: list[dict]) -> None:
    """Raises InputError where two images have one id: all would be tested as one image."""
    files = {}
    for image in images:
        key, file = str(image["image_id"]), image["file_name"]
        if key in files:
            both = f"{files[key]} and {file}"
            raise InputError(f"{name}: image_id {key} belongs to {both}, but must be of one image")
        files[key] = file


def _relative_path(file_name, root) -> str:
    return Path(os.path.relpath(file_name, root or os.curdir)).as_posix()


def get_metadata(name: str, key: str):
    """An entry of a data set's metadata; None without one, and for a folder of images."""
    return MetadataCatalog.get(name).get(key) if name in DatasetCatalog else None


def build_shifted_pair_loader(
    cfg: CfgNode, name: str, only: Collection[tuple] | None = None
) -> torch.utils.data.DataLoader:
    """Test loader of ``TEST.CONSISTENCY.PAIRS_PER_IMAGE`` pairs from every image.

    Args:
        cfg: with ``TEST.CONSISTENCY``.
        name: a registered data set or a folder of images.
        only: the (image id, number) of the pairs that are wanted; None for all.
    """
    options = cfg.TEST.CONSISTENCY
    is_classifier = cfg.MODEL.META_ARCHITECTURE == CLASSIFIER
    mapper = ClassificationPairMapper(cfg) if is_classifier else ShiftedPairMapper(cfg)
    pairs = [
        {key: image[key] for key in NEEDED if key in image} | {"pair_number": number}
        for image in get_image_dicts(name)
        for number in range(options.PAIRS_PER_IMAGE)
        if only is None or (image["image_id"], number) in only
    ]
    return build_detection_test_loader(
        pairs,
        mapper=mapper,
        batch_size=options.PAIRS_PER_BATCH,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=flatten_pairs,
    )
