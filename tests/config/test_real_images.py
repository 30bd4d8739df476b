"""Configs for nuclei, CamVid and CIFAR-10 fit their data, and test images as they are."""

import itertools

import pytest
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from helpers import CONFIGS

from aa_detectron import add_aa_config
from aa_detectron.data.mappers import build_mapper
from aa_detectron.engine.checks import check_config

TASKS = {
    "Nuclei-InstanceSegmentation": ("mask_rcnn_R_18_FPN", "mask_rcnn_R_50_FPN"),
    "CamVid-SemanticSegmentation": ("deeplab_v3_plus_R_18_os16", "deeplab_v3_plus_R_101_os16"),
    "CIFAR10-Classification": ("resnet_R_18", "resnet_R_50"),
}
NAMES = {"plain": "none", "blur": "blur", "adaptive": "adaptive"}
MODELS = [(task, model) for task, models in TASKS.items() for model in models]
FROZEN_STEM = "blur,adaptive,adaptive,adaptive"


def load(task, model, kind):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.merge_from_file(str(CONFIGS / task / f"{model}_{kind}.yaml"))
    return cfg


@pytest.mark.parametrize("task, model", MODELS)
def test_kinds_differ_in_the_filter_alone(task, model):
    dumps, folders = set(), set()
    for kind, name in NAMES.items():
        cfg = load(task, model, kind)
        is_frozen = kind == "adaptive" and cfg.MODEL.BACKBONE.FREEZE_AT > 0
        assert cfg.MODEL.ANTIALIAS.NAME == (FROZEN_STEM if is_frozen else name)
        folders.add(cfg.OUTPUT_DIR)
        cfg.MODEL.ANTIALIAS.NAME = cfg.OUTPUT_DIR = ""
        dumps.add(cfg.dump())
    assert len(dumps) == 1 and len(folders) == 3


@pytest.mark.parametrize("task, model", MODELS)
def test_fits_its_data(task, model):
    cfg = load(task, model, "plain")
    check_config(cfg)
    for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        metadata = MetadataCatalog.get(name)
        if metadata.evaluator_type == "sem_seg":
            assert cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE == metadata.ignore_label
        if metadata.evaluator_type == "coco":
            assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == len(metadata.thing_classes)


@pytest.mark.parametrize("task, model", MODELS[:4])
def test_tests_images_as_they_are(task, model):
    augmentations = build_mapper(load(task, model, "plain"), False).augmentations
    assert [type(a).__name__ for a in augmentations.augs] == ["ResizeShortestEdge"]
    assert load(task, model, "plain").INPUT.MIN_SIZE_TEST == 0


def test_cifar_permits_shifts_of_eight_pixels():
    for model in TASKS["CIFAR10-Classification"]:
        sizes = load("CIFAR10-Classification", model, "plain").INPUT.CLASSIFIER
        assert sizes.TEST_RESIZE - sizes.TEST_SIZE - 1 >= 8


@pytest.mark.parametrize("first, second", list(itertools.combinations(TASKS, 2)))
def test_backbones_for_two_cores_are_one(first, second):
    """So that one start serves all of them, as Base-Real-Images.yaml says."""
    found = [load(task, TASKS[task][0], "plain") for task in (first, second)]
    for key in ("DEPTH", "STEM_OUT_CHANNELS", "RES2_OUT_CHANNELS", "STRIDE_IN_1X1", "NORM"):
        assert found[0].MODEL.RESNETS[key] == found[1].MODEL.RESNETS[key]
    assert found[0].MODEL.PIXEL_MEAN == found[1].MODEL.PIXEL_MEAN
    assert found[0].INPUT.FORMAT == found[1].INPUT.FORMAT
