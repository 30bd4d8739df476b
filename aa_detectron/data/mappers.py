"""Mapper of each meta-architecture; errors name the file, and DeepLab crops after the resize."""

import copy
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from pycocotools import mask as mask_util

from aa_detectron.config import CLASSIFIER, SEGMENTORS
from aa_detectron.consistency.records import plain
from aa_detectron.errors import InputError

from .augmentation import augment
from .classification import ClassificationMapper
from .datasets.dicts_check import dict_problem
from .images import image_size, read_image
from .label_maps import check_label_file, check_labels, read_label_map


class CheckedDatasetMapper(DatasetMapper):
    """Says in one line what is wrong with an image, a label map or an annotation.

    Args:
        num_classes: number of classes in the label maps; None leaves the label maps unchecked.
        ignore_label: label of pixels that do not count; it may be ``num_classes`` or more.
        args, kwargs: arguments of Detectron2's mapper.

    Raises (when called):
        InputError: a file is missing or broken; the size of an image differs from the dataset's;
            the size of a label map differs from its image's; a label or annotation is illegal; or
            ``INPUT.MASK_FORMAT`` is "polygon" and a mask is no polygon.
    """

    @configurable
    def __init__(
        self, *args: Any, num_classes: int | None = None, ignore_label: int = 255, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self.num_classes = num_classes
        self.ignore_label = ignore_label

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        arguments = super().from_config(cfg, is_train)
        if cfg.MODEL.META_ARCHITECTURE in SEGMENTORS:
            head = cfg.MODEL.SEM_SEG_HEAD
            arguments |= {"num_classes": head.NUM_CLASSES, "ignore_label": head.IGNORE_VALUE}
        if is_train and cfg.MODEL.META_ARCHITECTURE == "SemanticSegmentor":
            arguments["augmentations"] = build_sem_seg_augmentation(cfg)
        return arguments

    def __call__(self, original: dict) -> dict:
        dataset_dict = copy.deepcopy(original)
        file_name = dataset_dict["file_name"]
        label_file = dataset_dict.pop("sem_seg_file_name", None)
        if label_file and self.num_classes:
            check_label_file(label_file, image_size(file_name))
        image = read_image(dataset_dict, self.image_format)
        dataset_dict = {"height": image.shape[0], "width": image.shape[1]} | dataset_dict
        if "image_id" in dataset_dict:
            dataset_dict["image_id"] = plain(dataset_dict["image_id"])
        given = T.AugInput(image, sem_seg=self._read_labels(label_file) if label_file else None)
        transforms = augment(self.augmentations, given, file_name)
        dataset_dict["image"] = torch.as_tensor(
            np.ascontiguousarray(given.image.transpose(2, 0, 1))
        )
        if given.sem_seg is not None:
            labels = dataset_dict["sem_seg"] = torch.as_tensor(given.sem_seg.astype("long"))
            if self.num_classes:
                check_labels(labels, self.num_classes, self.ignore_label, label_file)
        try:
            self._add_objects(dataset_dict, transforms, given.image.shape[:2])
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError):
            self._explain(original)
            raise
        return dataset_dict

    def _read_labels(self, file_name: str) -> np.ndarray:
        """(H, W) uint8 labels; the values are unchecked where the model learns no label maps."""
        if self.num_classes:
            return read_label_map(file_name)
        return read_image({"file_name": file_name}, "L").squeeze(2)

    def _add_objects(
        self, dataset_dict: dict, transforms: T.Transform, size: tuple[int, int]
    ) -> None:
        """Adds proposals and, in training, instances to ``dataset_dict``, as Detectron2 does."""
        if self.proposal_topk is not None:
            utils.transform_proposals(
                dataset_dict, size, transforms, proposal_topk=self.proposal_topk
            )
        if not self.is_train:
            dataset_dict.pop("annotations", None)
        elif "annotations" in dataset_dict:
            if self.use_instance_mask:
                annotations = dataset_dict["annotations"]
                dataset_dict["annotations"] = drop_outside(annotations, transforms, size)
            self._transform_annotations(dataset_dict, transforms, size)

    def _explain(self, dataset_dict: dict) -> None:
        """Raises a one-line error if the annotations caused the failure."""
        file_name, masks = dataset_dict["file_name"], self.use_instance_mask
        problem = dict_problem(dataset_dict, needs_masks=masks)
        if problem:
            raise InputError(f"{file_name}: {problem}") from None
        annotations = dataset_dict.get("annotations", [])
        kinds = [type(a["segmentation"]) for a in annotations if "segmentation" in a]
        if masks and self.instance_mask_format == "polygon" and set(kinds) - {list, tuple}:
            legal = f"'bitmask' for {file_name}, which has masks that are no polygons"
            # Not InvalidOption: a loader's worker cannot pass it to the main process.
            raise InputError(f"INPUT.MASK_FORMAT is 'polygon', but must be {legal}") from None


def drop_outside(
    annotations: list[dict], transforms: T.Transform, size: tuple[int, int]
) -> list[dict]:
    """Leaves out run-length encoded masks that have no pixel in a transformed image.

    Detectron2 drops such objects as well, but only after it has decoded their masks at the size of
    the original image. In crops of images with many objects, this takes most of a mapper's time.

    Args:
        annotations: annotations of an image as in Detectron2's dataset dicts.
        transforms: transforms of the image.
        size: height and width of the transformed image in pixels.

    Returns:
        Annotations inside of the image, without crowds, which no mapper keeps. If all are outside,
        the first one stays, because instances without any annotation have no field for masks.
    """
    objects = [a for a in annotations if not a.get("iscrowd")]
    return [a for a in objects if not _is_outside(a, transforms, size)] or objects[:1]


def _is_outside(annotation: dict, transforms: T.Transform, size: tuple[int, int]) -> bool:
    mask = annotation.get("segmentation")
    if not isinstance(mask, dict) or not isinstance(mask["counts"], bytes | str):
        return False
    x, y, width, height = mask_util.toBbox(mask)
    (left, top, right, bottom), *_ = transforms.apply_box([[x, y, x + width, y + height]])
    margin = 1  # pixel, by which resizing can move an edge
    return bool(
        right < -margin or bottom < -margin or left > size[1] + margin or top > size[0] + margin
    )


def build_mapper(cfg: CfgNode, is_train: bool) -> ClassificationMapper | CheckedDatasetMapper:
    """The mapper for ``MODEL.META_ARCHITECTURE``."""
    is_classifier = cfg.MODEL.META_ARCHITECTURE == CLASSIFIER
    return (ClassificationMapper if is_classifier else CheckedDatasetMapper)(cfg, is_train)


def build_sem_seg_augmentation(cfg: CfgNode) -> list[T.Augmentation]:
    """Resize, crop and flip. Unlike in a detector's augmentation, the crop follows the resize."""
    augmentations = utils.build_augmentation(cfg, is_train=True)
    if cfg.INPUT.CROP.ENABLED:
        crop = T.RandomCrop_CategoryAreaConstraint(
            cfg.INPUT.CROP.TYPE,
            cfg.INPUT.CROP.SIZE,
            cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA,
            cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
        )
        augmentations.insert(1, crop)
    return augmentations
