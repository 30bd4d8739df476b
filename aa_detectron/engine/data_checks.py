"""Checks of datasets against the model and the training sets, before anything is built."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from aa_detectron.config import CLASSIFIER
from aa_detectron.data.datasets.check import (
    SEM_SEG_KINDS,
    check_coco_use,
    check_dataset,
    check_images,
    check_source,
)
from aa_detectron.data.pairs import get_image_dicts
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.evaluation.consistency import ConsistencyOptions

from .proposals import check_proposals


class Task(NamedTuple):
    """What a part of a model learns."""

    needs: str
    """Words that follow "a dataset with"."""
    lacking: tuple[str, ...]
    """Values of ``evaluator_type`` whose datasets lack it; other datasets may have it."""
    classes: str
    """Name of the list of class names in the metadata."""
    number: str | None
    """Config key of the number of classes."""


_ONLY_CLASSES = ("classification", "imagenet_vid")


def _instances(number: str | None) -> Task:
    lacking = ("sem_seg", "cityscapes_sem_seg", *_ONLY_CLASSES)
    return Task("instances", lacking, "thing_classes", number)


_LABEL_MAPS = Task(
    "label maps",
    ("coco", "lvis", "pascal_voc", *_ONLY_CLASSES),
    "stuff_classes",
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES",
)

TASKS: dict[str, tuple[Task, ...]] = {
    "GeneralizedRCNN": (_instances("MODEL.ROI_HEADS.NUM_CLASSES"),),
    "RetinaNet": (_instances("MODEL.RETINANET.NUM_CLASSES"),),
    "ProposalNetwork": (_instances(None),),
    "PanopticFPN": (_instances("MODEL.ROI_HEADS.NUM_CLASSES"), _LABEL_MAPS),
    "SemanticSegmentor": (_LABEL_MAPS,),
    CLASSIFIER: (
        Task(
            "classes",
            ("coco", "coco_panoptic_seg", "lvis", "pascal_voc", *SEM_SEG_KINDS),
            "classes",
            "MODEL.CLASSIFIER.NUM_CLASSES",
        ),
    ),
}
"""Tasks by meta-architecture; nothing is known about other meta-architectures."""

VID_CLASSIFIER = 1000
"""Number of classes of ImageNet-1k, which classifiers need for a test on ImageNet-VID."""


def check_kinds(cfg: CfgNode, splits: tuple[str, ...]) -> None:
    """Checks by their metadata alone that the datasets in ``DATASETS`` fit the model.

    Args:
        cfg: the whole config.
        splits: "TRAIN", "TEST" or both.

    Raises:
        InvalidOption: a dataset of another kind, or a number of classes or an ignore label that
            differs from the model's.
    """
    for split, name, task in _uses(cfg, splits):
        kind = MetadataCatalog.get(name).get("evaluator_type")
        if kind in task.lacking or (_is_vid(name) and split == "TRAIN"):
            raise InvalidOption(f"DATASETS.{split}", name, f"a dataset with {task.needs}")
        _check_number(cfg, name, task, MetadataCatalog.get(name).get(task.classes))
        if task is _LABEL_MAPS:
            _check_ignore_label(cfg, name)
    _check_keypoints(cfg)


def check_contents(cfg: CfgNode, splits: tuple[str, ...]) -> None:
    """Reads the files of the datasets, and checks them against the model and each other.

    Args:
        cfg, splits: see :func:`check_kinds`.

    Raises:
        InputError, InvalidOption: see :func:`~aa_detectron.data.datasets.check.check_dataset`;
            also for a test set whose classes, or their order, differ from the classes that the
            model learns. Proposals: see :func:`~.proposals.check_proposals`. Test of consistency:
            images that are missing or have the same id.
    """
    for split, name in ((s, n) for s in splits for n in cfg.DATASETS[s]):
        is_train = split == "TRAIN"
        check_dataset(
            name,
            for_training=is_train,
            needs_masks=cfg.MODEL.MASK_ON,
            mask_format=cfg.INPUT.MASK_FORMAT if is_train else None,
        )
        check_images(name)
    for _, name, task in _uses(cfg, splits):
        _check_number(cfg, name, task, _class_names(name, task))
    _check_test_classes(cfg)
    check_proposals(cfg, splits)
    if "TEST" in splits:
        options = ConsistencyOptions.from_config(cfg)
        check_pairs(options, cfg.DATASETS.TEST, needs_masks=cfg.MODEL.MASK_ON)


def check_pairs(options: ConsistencyOptions, tested: Sequence[str], *, needs_masks: bool) -> None:
    """Checks the datasets and folders of the test of consistency, which runs last.

    Args:
        options: options of the test.
        tested: names of the test datasets.
        needs_masks: whether the worst-shift AP is also that of masks.

    Raises:
        InputError: a folder without images, images that are missing or have the same id, or
            annotations that cannot be used.
    """
    for name in (options.datasets or tested) if options.enabled else ():
        get_image_dicts(name)
        if name in DatasetCatalog:
            check_images(name)
        if options.worst_shift:
            check_coco_use(name, for_training=False, needs_masks=needs_masks)


def _uses(cfg: CfgNode, splits: tuple[str, ...]) -> Iterator[tuple[str, str, Task]]:
    """Yields (split, dataset, task of the model)."""
    for split in splits:
        for name in cfg.DATASETS[split]:
            for task in TASKS.get(cfg.MODEL.META_ARCHITECTURE, ()):
                yield split, name, task


def _class_names(name: str, task: Task) -> list[str] | None:
    """Class names in the files, in the order of the model's outputs; None if they are unknown."""
    facts = check_source(name) if task.classes == "thing_classes" else None
    classes = facts.classes if facts else MetadataCatalog.get(name).get(task.classes)
    return None if classes is None or _is_vid(name) else list(classes)


def _value(cfg: CfgNode, key: str) -> int:
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def _check_number(cfg: CfgNode, name: str, task: Task, classes: list[str] | None) -> None:
    number = VID_CLASSIFIER if _is_vid(name) else len(classes) if classes is not None else None
    if task.number and number is not None and number != _value(cfg, task.number):
        raise InvalidOption(task.number, _value(cfg, task.number), f"{number} for {name}")


def _is_vid(name: str) -> bool:
    return MetadataCatalog.get(name).get("evaluator_type") == "imagenet_vid"


def _check_ignore_label(cfg: CfgNode, name: str) -> None:
    label = MetadataCatalog.get(name).get("ignore_label")
    found = cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    if label is not None and label != found:
        legal = f"{label}, the ignore label of {name}"
        raise InvalidOption("MODEL.SEM_SEG_HEAD.IGNORE_VALUE", found, legal)


def _check_keypoints(cfg: CfgNode) -> None:
    sigmas, number = cfg.TEST.KEYPOINT_OKS_SIGMAS, cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS
    standard = 17  # keypoints of COCO, the only ones for which pycocotools has sigmas
    if cfg.MODEL.KEYPOINT_ON and cfg.DATASETS.TEST and (len(sigmas) or standard) != number:
        legal = f"{number} numbers, as many as MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS"
        raise InvalidOption("TEST.KEYPOINT_OKS_SIGMAS", sigmas, legal)


def _check_test_classes(cfg: CfgNode) -> None:
    """Checks test sets against the first training set, if its classes are known."""
    for task in TASKS.get(cfg.MODEL.META_ARCHITECTURE, ()):
        learned = _learned_classes(cfg, task)
        for name in cfg.DATASETS.TEST:
            classes = _class_names(name, task)
            if learned and classes is not None and classes != learned:
                pairs = enumerate(zip_longest(learned, classes))
                number, (ours, theirs) = next((n, p) for n, p in pairs if p[0] != p[1])
                raise InputError(
                    f"DATASETS.TEST: class {number} of {name} is {theirs!r}, but must be {ours!r}, "
                    f"which the model learns from {cfg.DATASETS.TRAIN[0]}"
                )


def _learned_classes(cfg: CfgNode, task: Task) -> list[str] | None:
    for name in cfg.DATASETS.TRAIN[:1]:
        if name in DatasetCatalog:
            try:
                return _class_names(name, task)
            except InputError:
                return None  # the test may run on a machine without the training set
    return None
