"""Illegal values of config keys are rejected by name, before anything is built."""

import pytest
import torch
from detectron2.config import get_cfg
from helpers import CONFIGS, DEMO_CONFIG

from aa_detectron import add_aa_config
from aa_detectron.engine.device import _warn_of_no_gpu
from aa_detectron.engine.launch import load_config
from aa_detectron.engine.legal_values import RULES, check_values
from aa_detectron.errors import InputError, InvalidOption

SEGMENTOR = CONFIGS / "Shapes-SemanticSegmentation" / "deeplab_v3_plus_adaptive.yaml"
CLASSIFIER = CONFIGS / "Shapes-Classification" / "resnet_R_18_adaptive.yaml"
LEAVES = sorted(p for p in CONFIGS.glob("*/*.yaml") if p.parent.name != "comparisons")


@pytest.mark.parametrize("path", [None, *LEAVES], ids=lambda p: p.stem if p else "defaults")
def test_every_shipped_config_is_legal(path):
    cfg = get_cfg()
    add_aa_config(cfg)
    if path:
        cfg.merge_from_file(str(path))
    check_values(cfg)


def test_the_rules_are_about_keys_that_exist():
    cfg = get_cfg()
    add_aa_config(cfg)
    for key in RULES:
        node = cfg
        for part in key.split("."):
            assert part in node, key
            node = node[part]


@pytest.mark.parametrize(
    "key, value",
    [
        ("SEED", "4294967296"),
        ("TEST.AUG.ENABLED", "True"),
        ("SOLVER.MAX_ITER", "0"),
        ("SOLVER.BASE_LR", "-0.1"),
        ("SOLVER.MOMENTUM", "1.5"),
        ("SOLVER.STEPS", "(-1,)"),
        ("SOLVER.STEPS", "(10.5,)"),
        ("SOLVER.WARMUP_METHOD", "cubic"),
        ("SOLVER.CHECKPOINT_PERIOD", "0"),
        ("SOLVER.IMS_PER_BATCH", "0"),
        ("SOLVER.BACKBONE_MULTIPLIER", "-1.0"),
        ("SOLVER.POLY_LR_POWER", "-3.0"),
        ("SOLVER.POLY_LR_CONSTANT_ENDING", "2.0"),
        ("DATALOADER.NUM_WORKERS", "-1"),
        ("DATALOADER.SAMPLER_TRAIN", "Nope"),
        ("DATASETS.TRAIN", "()"),
        ("DATASETS.TRAIN", "([1],)"),
        ("DATASETS.TEST", "(3,)"),
        ("INPUT.FORMAT", "rgb"),
        ("INPUT.MASK_FORMAT", "rle"),
        ("INPUT.MIN_SIZE_TRAIN", "(-64,)"),
        ("INPUT.MIN_SIZE_TRAIN", "()"),
        ("INPUT.CLASSIFIER.TRAIN_AREA", "(1.0, 0.1)"),
        ("INPUT.CLASSIFIER.TRAIN_AREA", "(0.5,)"),
        ("INPUT.CLASSIFIER.TRAIN_SIZE", "0"),
        ("MODEL.ANTIALIAS.PREDICTOR_GROUPS", "0"),
        ("MODEL.ANTIALIAS.PREDICTOR_KERNEL", "-1"),
        ("MODEL.ANTIALIAS.SIGMA", "0.0"),
        ("MODEL.BACKBONE.NAME", "Nope"),
        ("MODEL.DEVICE", "quantum"),
        ("MODEL.FPN.FUSE_TYPE", "max"),
        ("MODEL.META_ARCHITECTURE", "Nope"),
        ("MODEL.PIXEL_MEAN", "[1.0, 2.0]"),
        ("MODEL.PIXEL_STD", "[1.0, 0.0, 1.0]"),
        ("MODEL.RESNETS.NORM", "XN"),
        ("MODEL.RESNETS.RES5_MULTI_GRID", "[0, 0]"),
        ("MODEL.ROI_BOX_HEAD.NORM", "XN"),
        ("MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIMean"),
        ("MODEL.ROI_HEADS.IOU_THRESHOLDS", "[]"),
        ("MODEL.ROI_HEADS.NAME", "Nope"),
        ("MODEL.ROI_HEADS.NUM_CLASSES", "0"),
        ("MODEL.ROI_HEADS.POSITIVE_FRACTION", "1.5"),
        ("MODEL.SEM_SEG_HEAD.ASPP_DROPOUT", "2.0"),
        ("TEST.IMS_PER_BATCH", "0"),
        ("TEST.CONSISTENCY.SCORE_THRESH", "-0.5"),
    ],
)
def test_illegal_values(key, value):
    with pytest.raises(InvalidOption, match=rf"^{key} is .+, but must be .+") as error:
        load_config(str(DEMO_CONFIG), [key, value])
    assert "\n" not in str(error.value)


def test_names_in_a_list():
    """A config file could not be read again with them."""
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.MODEL.ANTIALIAS.NAME = ["blur", "adaptive", "adaptive", "none"]
    with pytest.raises(InvalidOption, match="^MODEL.ANTIALIAS.NAME is .* four with commas"):
        check_values(cfg)


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
@pytest.mark.parametrize(
    "config, key",
    [
        (DEMO_CONFIG, "SOLVER.BASE_LR"),
        (DEMO_CONFIG, "SOLVER.BACKBONE_MULTIPLIER"),
        (DEMO_CONFIG, "MODEL.RPN.LOSS_WEIGHT"),  # which has no rule of its own
        (SEGMENTOR, "SOLVER.POLY_LR_POWER"),
        (CLASSIFIER, "MODEL.CLASSIFIER.LABEL_SMOOTHING"),
    ],
)
def test_numbers_are_finite(tmp_path, config, key, value):
    node = value
    for part in reversed(key.split(".")):
        node = f"{{{part}: {node}}}"
    path = tmp_path / "c.yaml"
    path.write_text(f"_BASE_: {config}\n{node[1:-1]}\n")
    with pytest.raises(InvalidOption, match=rf"^{key} is -?(nan|inf), but must be "):
        load_config(str(path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_amp_without_a_gpu():
    with pytest.raises(InvalidOption, match="SOLVER.AMP.ENABLED is True, but must be False"):
        load_config(str(DEMO_CONFIG), ["SOLVER.AMP.ENABLED", "True"])


@pytest.mark.parametrize(
    "text, named",
    [
        ("", "mapping"),
        ("[1]", "mapping"),
        ("just words", "mapping"),
        ("MODEL: 3", "MODEL is 3"),
        ("MODEL: {RESNETS: [50]}", r"MODEL.RESNETS is \[50\]"),
        ("SEED: {a: 1}", "SEED"),
        ("_BASE_: c.yaml", "_BASE_ leads back"),
        ("_BASE_: 3", "_BASE_ is 3"),
        ("_BASE_: [no.yaml]", "no.yaml"),
        ("SEED: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("SEED: \x00", "not YAML"),
        ("SEED: [", "not YAML"),
        ('SEED: !!python/object/apply:os.system ["touch ran"]', "python/object"),
        ('SEED: !!python/name:os.system ""', "python/name"),
        ("NO_SUCH_KEY: 1", "NO_SUCH_KEY"),
    ],
)
def test_config_files_that_are_none(tmp_path, monkeypatch, text, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=named) as error:
        load_config("c.yaml")
    message = str(error.value)
    assert "\n" not in message and ".yaml" in message
    for cryptic in ("has no attribute", "not iterable", "recursion depth", "cannot pickle"):
        assert cryptic not in message
    assert not (tmp_path / "ran").exists()


def test_tags_in_a_base_run_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text('SEED: !!python/object/apply:os.system ["touch ran"]')
    (tmp_path / "c.yaml").write_text("_BASE_: base.yaml\n")
    with pytest.raises(InputError, match="base.yaml"):
        load_config("c.yaml")
    assert not (tmp_path / "ran").exists()


def test_paths_without_nul(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(f'_BASE_: {DEMO_CONFIG}\nOUTPUT_DIR: "a\\0b"\n')
    with pytest.raises(InvalidOption, match="OUTPUT_DIR is .*, but must be text without NUL"):
        load_config(str(path))


def test_a_missing_gpu_is_told_once(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _warn_of_no_gpu.cache_clear()
    for _ in range(2):
        assert load_config(str(DEMO_CONFIG), ["MODEL.DEVICE", "cuda"]).MODEL.DEVICE == "cpu"
    assert len([r for r in caplog.records if "there is no GPU" in r.message]) == 1
