"""Checks of the config, alone and against the catalogs, before anything is built."""

import os
from collections.abc import Callable, Sequence

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from aa_detectron.config import CLASSIFIER
from aa_detectron.data.datasets.class_folders import find_classes, register_class_folders
from aa_detectron.data.datasets.register import HOW_TO_REGISTER
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.evaluation.build import check_evaluator_type
from aa_detectron.evaluation.checks import check_needs
from aa_detectron.evaluation.consistency import ConsistencyOptions

from .data_checks import check_kinds
from .feature_checks import check_features
from .legal_values import check_values


def check_config(cfg: CfgNode, *, eval_only: bool = False) -> None:
    """Rejects a config that would fail, or give misleading results, later on.

    Folders of class folders in ``DATASETS`` are registered, see :func:`register_folders`.

    Args:
        cfg: the whole config.
        eval_only: whether the training datasets are left unchecked.

    Raises:
        InputError: a dataset that is not registered, or has no evaluator.
        InvalidOption: an illegal value; the message names the key.
    """
    check_values(cfg)
    check_features(cfg)
    if not (eval_only or cfg.DATASETS.TRAIN):
        raise InvalidOption("DATASETS.TRAIN", cfg.DATASETS.TRAIN, "one or more datasets")
    if cfg.SOLVER.AMP.ENABLED and not (eval_only or cfg.MODEL.DEVICE.startswith("cuda")):
        legal = f"False for MODEL.DEVICE {cfg.MODEL.DEVICE}"
        raise InvalidOption("SOLVER.AMP.ENABLED", True, legal)
    if cfg.MODEL.META_ARCHITECTURE == CLASSIFIER:
        register_folders(cfg)
    splits = ("TEST",) if eval_only else ("TRAIN", "TEST")
    for split in splits:
        for name in cfg.DATASETS[split]:
            if name not in DatasetCatalog:
                raise InputError(
                    f"DATASETS.{split}: {name!r} is not a registered dataset; {HOW_TO_REGISTER}"
                )
    for name in cfg.DATASETS.TEST:
        check_evaluator_type(name)
    check_consistency_config(cfg)
    check_kinds(cfg, splits)


def register_folders(cfg: CfgNode) -> None:
    """Registers the folders of class folders in ``DATASETS`` under their paths.

    All of them have the classes of the training dataset, in the same order. The training dataset is
    a registered dataset or such a folder.

    Raises:
        InputError: a folder without class folders.
    """
    classes = None
    for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        if name in DatasetCatalog:
            metadata = MetadataCatalog.get(name)
            classes = classes or metadata.get("wnids") or metadata.get("classes")
        elif os.path.isdir(name):
            classes = classes or find_classes(name)
            register_class_folders(name, name, classes)


def check_consistency_config(cfg: CfgNode) -> None:
    """Raises InvalidOption for a value of ``TEST.CONSISTENCY`` that cannot be used."""
    options = cfg.TEST.CONSISTENCY
    if options.ENABLED and cfg.MODEL.META_ARCHITECTURE == CLASSIFIER:
        resize, size = cfg.INPUT.CLASSIFIER.TEST_RESIZE, cfg.INPUT.CLASSIFIER.TEST_SIZE
        if not 2 <= resize - size < resize // 4 + 2:
            legal = f"at least 2 and at most a quarter less than TEST_RESIZE {resize}"
            raise InvalidOption("INPUT.CLASSIFIER.TEST_SIZE", size, legal)
    check_consistency(ConsistencyOptions.from_config(cfg), cfg.DATASETS.TEST, _key)


def _key(option: str) -> str:
    return f"TEST.CONSISTENCY.{option.upper()}"


def check_consistency(
    options: ConsistencyOptions, tested: Sequence[str], key: Callable[[str], str]
) -> None:
    """Checks the datasets of the test of consistency.

    Args:
        options: options of the test.
        tested: names of the test datasets.
        key: function that returns the config key of an option.

    Raises:
        InvalidOption: a dataset does not exist, or lacks what an option needs.
    """
    for name in options.datasets or tested:
        if name not in DatasetCatalog and not os.path.isdir(name):
            legal = f"names of registered datasets or folders of images; {HOW_TO_REGISTER}"
            raise InvalidOption(key("datasets"), name, legal)
        needs = {"labelled_only": options.labelled_only, "worst_shift": options.worst_shift}
        check_needs(name, **needs, key=key)
