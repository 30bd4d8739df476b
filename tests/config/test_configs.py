"""Every shipped config loads and builds; importing the package changes nothing of Detectron2's."""

import functools
import math
import re
import subprocess
import sys

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY
from helpers import CONFIGS, ROOT

from aa_detectron import add_aa_config
from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d

NO_LEAVES = (CONFIGS, CONFIGS / "comparisons")  # bases; what tools/compare.py reads
LEAVES = sorted(p for p in CONFIGS.rglob("*.yaml") if p.parent not in NO_LEAVES)


def load(path):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.merge_from_file(str(path))
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def test_there_are_configs():
    names = {p.relative_to(CONFIGS).as_posix() for p in LEAVES}
    for depth in (50, 101):
        for schedule in ("1x", "3x"):
            for kind in ("plain", "blur", "adaptive"):
                leaf = f"mask_rcnn_R_{depth}_FPN_{schedule}_{kind}.yaml"
                assert f"COCO-InstanceSegmentation/{leaf}" in names
        for kind in ("plain", "blur", "adaptive", "k5_adaptive"):
            assert f"ImageNet-Classification/resnet_R_{depth}_{kind}.yaml" in names
        for data in ("VOC", "Cityscapes"):
            for kind in ("plain", "blur", "adaptive"):
                leaf = f"deeplab_v3_plus_R_{depth}_os16_{kind}.yaml"
                assert f"{data}-SemanticSegmentation/{leaf}" in names


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.relative_to(CONFIGS).as_posix())
def test_builds_what_its_name_says(path):
    cfg = load(path)
    with torch.device("meta"):  # no memory, no time for weights
        model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    kinds = {type(m) for m in model.modules()} & {AdaptiveBlurPool2d, BlurPool2d}
    frozen = {BlurPool2d} if cfg.MODEL.BACKBONE.FREEZE_AT else set()  # the stem's filter
    expected = {"plain": set(), "blur": {BlurPool2d}, "adaptive": {AdaptiveBlurPool2d} | frozen}
    assert kinds == expected[path.stem.rsplit("_", 1)[1]]
    if kinds == {AdaptiveBlurPool2d, BlurPool2d}:
        blurs = [name for name, m in model.named_modules() if isinstance(m, BlurPool2d)]
        assert blurs == ["backbone.bottom_up.stem.aa"]
    assert len(path.read_text().splitlines()) <= 12, "leaves are short"


@pytest.mark.parametrize("schedule, iterations", [("1x", 90000), ("3x", 270000)])
def test_coco_recipe_is_detectron2s(schedule, iterations):
    leaf = f"COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_{schedule}_adaptive.yaml"
    cfg = load(CONFIGS / leaf)
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR, cfg.SOLVER.IMS_PER_BATCH) == (
        iterations, 0.02, 16,
    )  # fmt: skip
    assert cfg.MODEL.BACKBONE.FREEZE_AT == 2 and cfg.MODEL.RESNETS.NORM == "FrozenBN"
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST) == (800, 1333)


def test_importing_changes_no_default():
    """In a fresh process: Detectron2's defaults before and after."""
    code = (
        "from detectron2.config import get_cfg; before = get_cfg().dump();"
        "import aa_detectron; assert get_cfg().dump() == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("kind, size", [("adaptive", 3), ("k5_adaptive", 5)])
def test_imagenet_recipe_is_the_published_one(kind, size):
    cfg = load(CONFIGS / f"ImageNet-Classification/resnet_R_101_{kind}.yaml")
    solver, batches = cfg.SOLVER, math.ceil(1281167 / 256)
    assert solver.MAX_ITER == 90 * batches
    assert solver.STEPS == (30 * batches, 60 * batches) and solver.GAMMA == 0.1
    assert (solver.BASE_LR, solver.MOMENTUM, solver.IMS_PER_BATCH) == (0.1, 0.9, 256)
    assert solver.WEIGHT_DECAY == solver.WEIGHT_DECAY_NORM == 1e-4
    assert 5 * batches <= solver.WARMUP_ITERS <= 15 * batches
    sizes = cfg.INPUT.CLASSIFIER
    assert (sizes.TRAIN_SIZE, sizes.TEST_RESIZE, sizes.TEST_SIZE) == (224, 256, 224)
    assert (cfg.MODEL.ANTIALIAS.KERNEL_SIZE, cfg.MODEL.ANTIALIAS.GROUPS) == (size, 8)


@pytest.mark.parametrize(
    "data, classes, crop, iterations, rate, warmup",
    [("VOC", 21, 513, 30000, 0.01, 0), ("Cityscapes", 19, 768, 80000, 0.00875, 8000)],
)
def test_deeplab_recipe_is_the_published_one(data, classes, crop, iterations, rate, warmup):
    cfg = load(CONFIGS / f"{data}-SemanticSegmentation/deeplab_v3_plus_R_101_os16_adaptive.yaml")
    assert cfg.INPUT.CROP.ENABLED and tuple(cfg.INPUT.CROP.SIZE) == (crop, crop)
    solver = cfg.SOLVER
    assert (solver.MAX_ITER, solver.BASE_LR, solver.WARMUP_ITERS) == (iterations, rate, warmup)
    assert (solver.LR_SCHEDULER_NAME, solver.POLY_LR_POWER) == ("WarmupPolyLR", 0.9)
    assert (solver.BACKBONE_MULTIPLIER, solver.WEIGHT_DECAY) == (0.1, 1e-4)
    assert (solver.OPTIMIZER, solver.IMS_PER_BATCH) == ("SGD", 16)
    assert cfg.MODEL.RESNETS.DEPTH == 101
    for name in cfg.DATASETS.TEST:
        assert len(MetadataCatalog.get(name).stuff_classes) == classes
    assert cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == classes


def keys(node, prefix=""):
    """Every key of a config, as "MODEL.NODE.KEY"."""
    for key, value in node.items():
        yield from keys(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]


def test_only_keys_of_our_own_are_added():
    before, after = get_cfg(), get_cfg()
    add_aa_config(after)
    names = set(keys(before))
    assert names < set(keys(after))
    added = [name for name in keys(after) if name not in names]
    for name in added:
        *path, key = name.split(".")
        del functools.reduce(getattr, path, after)[key]
    del after.MODEL["ANTIALIAS"], after.MODEL["CLASSIFIER"]
    del after.INPUT["CLASSIFIER"], after.TEST["CONSISTENCY"]
    assert after.dump() == before.dump()


def test_keys_that_another_extension_has_set_stay():
    cfg = get_cfg()
    cfg.SOLVER.OPTIMIZER = "FULL_MODEL"
    cfg.MODEL.SEM_SEG_HEAD.LOSS_TYPE = "cross_entropy"
    add_aa_config(cfg)
    assert cfg.SOLVER.OPTIMIZER == "FULL_MODEL"
    assert cfg.MODEL.SEM_SEG_HEAD.LOSS_TYPE == "cross_entropy"
    assert cfg.MODEL.SEM_SEG_HEAD.ASPP_CHANNELS == 256


def test_every_key_of_our_nodes_has_a_comment():
    lines = (ROOT / "aa_detectron" / "config.py").read_text().splitlines()
    found = [i for i, line in enumerate(lines) if re.match(r" +node\.[A-Z_]+ = ", line)]
    cfg = get_cfg()
    add_aa_config(cfg)
    nodes = cfg.MODEL.ANTIALIAS, cfg.MODEL.CLASSIFIER, cfg.INPUT.CLASSIFIER, cfg.TEST.CONSISTENCY
    assert len(found) == sum(map(len, nodes))
    assert all(lines[i - 1].strip().startswith("#") for i in found)
