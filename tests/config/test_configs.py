"""Every shipped config loads and builds; importing the package changes nothing of Detectron2's."""

import re
import subprocess
import sys

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import META_ARCH_REGISTRY
from helpers import CONFIGS, ROOT

from aa_detectron import add_aa_config
from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d

LEAVES = sorted(p for p in CONFIGS.rglob("*.yaml") if p.parent != CONFIGS)


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


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.relative_to(CONFIGS).as_posix())
def test_builds_what_its_name_says(path):
    cfg = load(path)
    with torch.device("meta"):  # no memory, no time for weights
        model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    kinds = {type(m) for m in model.modules()} & {AdaptiveBlurPool2d, BlurPool2d}
    expected = {"plain": set(), "blur": {BlurPool2d}, "adaptive": {AdaptiveBlurPool2d}}
    assert kinds == expected[path.stem.rsplit("_", 1)[1]]
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


def test_only_our_nodes_are_added():
    before, after = get_cfg(), get_cfg()
    add_aa_config(after)
    del after.MODEL["ANTIALIAS"], after.SOLVER["OPTIMIZER"], after.TEST["CONSISTENCY"]
    assert after.dump() == before.dump()


def test_one_comment_a_key():
    lines = (ROOT / "aa_detectron" / "config.py").read_text().splitlines()
    keys = [i for i, line in enumerate(lines) if re.match(r" +node\.[A-Z_]+ = ", line)]
    cfg = get_cfg()
    add_aa_config(cfg)
    assert len(keys) == len(cfg.MODEL.ANTIALIAS) + len(cfg.TEST.CONSISTENCY)
    assert all(lines[i - 1].strip().startswith("#") for i in keys)
