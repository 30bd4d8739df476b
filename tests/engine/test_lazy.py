"""Training and evaluation of LazyConfigs, against the same from YAML."""

import argparse
import json
import logging
import shutil

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import LazyConfig, instantiate
from detectron2.modeling import BACKBONE_REGISTRY, FPN
from detectron2.modeling.backbone import RegNet
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.backbone.regnet import ResBottleneckBlock, SimpleStem
from helpers import DEMO_CONFIG, make_small_shapes, small_config, small_options
from lazy_configs import DEMO, RETINANET, STRANGER, small_overrides

from aa_detectron.data.datasets.builtin import register_all_shapes
from aa_detectron.engine import LazyTrainer, Trainer, load_lazy_config, load_lazy_model
from aa_detectron.engine.distributed import unread
from aa_detectron.engine.launch import main
from aa_detectron.engine.lazy.trainer import build_lazy_model
from aa_detectron.errors import InputError


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    make_small_shapes(root)
    (root / "retinanet.py").write_text(RETINANET)
    (root / "stranger.py").write_text(STRANGER)
    return root


@pytest.fixture(autouse=True)
def _registered(shapes):
    register_all_shapes(str(shapes))
    yield
    register_all_shapes("datasets")


@pytest.fixture
def caplog(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("aa_detectron"), "propagate", True)
    return caplog


def run(output, *opts, config_file=DEMO, small=True, eval_only=False, resume=False):
    opts = [*(small_overrides(output) if small else [f"train.output_dir={output}"]), *opts]
    return main(
        argparse.Namespace(
            config_file=str(config_file), opts=opts, eval_only=eval_only, resume=resume
        )
    )


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    """The results of the demo from the LazyConfig, and its folder."""
    register_all_shapes(str(shapes))
    output = tmp_path_factory.mktemp("trained")
    return run(output), output


def state_of(output):
    return torch.load(output / "model_final.pth", weights_only=False)


def assert_equal(found, expected):
    """Everything in a checkpoint, to the last bit; NaN equals NaN."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in found:
            assert_equal(found[key], expected[key])
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    else:
        np.testing.assert_equal(found, expected)


def records_of(output):
    return json.loads((output / "inference/consistency_instances_shapes_val.json").read_text())


def test_training_equals_the_one_from_yaml(trained, tmp_path):
    """Weights, moments of the optimizer, scores and records, bit for bit."""
    results, output = trained
    arguments = {"opts": small_options(tmp_path), "eval_only": False, "resume": False}
    expected = main(argparse.Namespace(config_file=str(DEMO_CONFIG), **arguments))
    assert_equal(results, expected)
    lazy, yaml = state_of(output), state_of(tmp_path)
    assert_equal(lazy["model"], yaml["model"])
    assert_equal(lazy["trainer"]["optimizer"], yaml["trainer"]["_trainer"]["optimizer"])
    assert records_of(output) == records_of(tmp_path)
    shared = lazy["notes"]["config"].items()
    assert len(shared) == 8 and shared <= yaml["notes"]["config"].items()


def test_evaluation_gives_the_same_scores_again(trained, tmp_path):
    results, output = trained
    weights = f"train.init_checkpoint={output / 'model_final.pth'}"
    assert_equal(run(tmp_path, weights, eval_only=True), results)
    assert records_of(tmp_path) == records_of(output)


def test_resume_is_exact(trained, tmp_path):
    more = ("train.max_iter=4", "train.checkpointer.period=2", "consistency.enabled=false")
    run(tmp_path / "whole", *more)
    (tmp_path / "resumed").mkdir()
    shutil.copy(tmp_path / "whole" / "model_0000001.pth", tmp_path / "resumed")
    (tmp_path / "resumed" / "last_checkpoint").write_text("model_0000001.pth")
    run(tmp_path / "resumed", *more, resume=True)
    expected, found = state_of(tmp_path / "whole"), state_of(tmp_path / "resumed")
    assert found["iteration"] == 3
    assert_equal(found["model"], expected["model"])
    assert_equal(found["trainer"], expected["trainer"])


def test_resumed_at_the_end_writes_the_final_checkpoint(trained, tmp_path):
    _, output = trained
    shutil.copy(output / "model_final.pth", tmp_path / "model_0000001.pth")
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    run(tmp_path, "consistency.enabled=false", resume=True)
    assert_equal(state_of(tmp_path)["model"], state_of(output)["model"])


def test_model_of_a_checkpoint(trained, tmp_path):
    _, output = trained
    weights = output / "model_final.pth"
    cfg, model = load_lazy_model(DEMO, weights, small_overrides(tmp_path))
    assert cfg.train.init_checkpoint == str(weights) and not model.training
    assert_equal(dict(model.state_dict()), state_of(output)["model"])
    with pytest.raises(InputError, match="comes from a network with MODEL.ANTIALIAS.SOFTMAX group"):
        load_lazy_model(DEMO, weights, ["model.backbone.bottom_up.softmax=all"])
    with pytest.raises(InputError, match="train.init_checkpoint: is empty, but must name"):
        load_lazy_model(DEMO)


def test_outputs_that_no_head_reads(tmp_path):
    """The heads keep OmegaConf's lists, not Python's."""
    assert unread(build_lazy_model(load_lazy_config(DEMO, small_overrides(tmp_path)))) == [
        "p5",
        "p6",
    ]


def test_folder_of_images(trained, shapes, tmp_path):
    _, output = trained
    folder = shapes / "shapes" / "val"
    results = run(
        tmp_path,
        f"train.init_checkpoint={output / 'model_final.pth'}",
        f"consistency.datasets=[{folder}]",
        "dataloader.evaluator=null",
        eval_only=True,
    )
    assert results.keys() == {str(folder)}
    assert results[str(folder)].keys() == {"consistency_bbox", "consistency_segm"}


def gradients_missing(model):
    return [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]


def test_retinanet_with_an_antialiased_regnet(shapes, tmp_path):
    """One step, a gradient everywhere, a test with consistency."""
    # The predictor of a filter that starts as the binomial blur gets a gradient after one step.
    options = ["train.max_iter=1", "model.backbone.bottom_up.init=kaiming"]
    config_file = str(shapes / "retinanet.py")
    trainer = LazyTrainer(load_lazy_config(config_file, [*small_overrides(tmp_path), *options]))
    results = trainer.train()
    assert results["consistency_bbox"]["pairs"] == 4 and results["bbox"]["AP"] >= 0
    assert len([n for n, _ in trainer.model.named_parameters() if ".predictor." in n]) == 18
    assert not gradients_missing(trainer.model)


@pytest.fixture
def regnet_fpn():
    """A builder of a user: Detectron2 has none for its RegNet."""

    def build_small_regnet_fpn(cfg, input_shape):
        regnet = RegNet(
            **{"stem_class": SimpleStem, "stem_width": 8, "block_class": ResBottleneckBlock},
            **{"depth": 4, "w_a": 8.0, "w_0": 8, "w_m": 2.0, "group_width": 8},
            out_features=["s1", "s2", "s3"],
        )
        top = LastLevelP6P7(32, cfg.MODEL.FPN.OUT_CHANNELS, "s3")
        return FPN(regnet, ["s1", "s2", "s3"], cfg.MODEL.FPN.OUT_CHANNELS, top_block=top)

    BACKBONE_REGISTRY.register(build_small_regnet_fpn)
    yield build_small_regnet_fpn.__name__
    del BACKBONE_REGISTRY._obj_map[build_small_regnet_fpn.__name__]


def test_retinanet_with_an_antialiased_regnet_from_yaml(shapes, regnet_fpn, tmp_path):
    options = [
        "MODEL.META_ARCHITECTURE", "RetinaNet",
        "MODEL.MASK_ON", "False",
        "MODEL.BACKBONE.NAME", "build_antialiased_backbone",
        "MODEL.ANTIALIAS.BACKBONE", regnet_fpn,
        "MODEL.ANTIALIAS.INIT", "kaiming",
        "MODEL.FPN.OUT_CHANNELS", "16",
        "MODEL.RETINANET.IN_FEATURES", "['p2', 'p3', 'p4', 'p5', 'p6']",
        "MODEL.RETINANET.NUM_CLASSES", "6",
        "MODEL.RETINANET.NUM_CONVS", "1",
        "MODEL.RETINANET.SCORE_THRESH_TEST", "0.0",
        "MODEL.ANCHOR_GENERATOR.SIZES", "[[8], [16], [32], [64], [128]]",
        "SOLVER.MAX_ITER", "1",
    ]  # fmt: skip
    trainer = Trainer(small_config(tmp_path, *options))
    results = trainer.train()
    assert results["consistency_bbox"]["pairs"] == 4 and results["bbox"]["AP"] >= 0
    assert not gradients_missing(trainer.model)
    cfg = load_lazy_config(str(shapes / "retinanet.py"), small_overrides(tmp_path))
    same = build_lazy_model(cfg).state_dict()
    assert {k: v.shape for k, v in trainer.model.state_dict().items()} == {
        k: v.shape for k, v in same.items()
    }


@pytest.fixture(scope="module")
def strangers_weights(shapes, tmp_path_factory):
    """A checkpoint that Detectron2 has written."""
    folder = tmp_path_factory.mktemp("stranger")
    model = instantiate(LazyConfig.load(str(shapes / "stranger.py")).model)
    DetectionCheckpointer(model, str(folder)).save("theirs")
    return folder / "theirs.pth"


def test_a_strangers_model_is_measured_as_it_is(shapes, strangers_weights, tmp_path):
    results = run(
        tmp_path,
        f"train.init_checkpoint={strangers_weights}",
        "consistency.enabled=true",
        "consistency.score_thresh=0.0",
        config_file=shapes / "stranger.py",
        small=False,
        eval_only=True,
    )
    assert results.keys() == {"bbox", "segm", "consistency_bbox", "consistency_segm"}
    scores = results["consistency_segm"]
    assert scores["pairs"] + scores["empty"] == 4


def test_a_strangers_training_is_resumed_with_a_warning(shapes, tmp_path, caplog):
    options = [f"train.output_dir={tmp_path}", "dataloader.evaluator=null"]

    def train(max_iter, resume):
        path = str(shapes / "stranger.py")
        trainer = LazyTrainer(load_lazy_config(path, [*options, f"train.max_iter={max_iter}"]))
        trainer.resume_or_load(resume=resume)
        trainer.train()
        return [m for m in caplog.messages if "weights will not equal" in m]

    assert train(1, resume=False) == []
    (warning,) = train(2, resume=True)
    assert "dataloader.train is not aa_detectron" in warning
    assert state_of(tmp_path)["iteration"] == 1


def test_partly_filtered_model_warns(shapes, tmp_path, caplog):
    """Blocks of Detectron2 behind a stem with a filter."""
    text = STRANGER.replace("BasicStem)(", "AABasicStem)(").replace(
        'out_channels=64, norm="BN"', 'out_channels=64, norm="BN", lowpass=BlurPool2d'
    )
    more = "from aa_detectron.layers import BlurPool2d\n"
    more += "from aa_detectron.modeling.resnet import AABasicStem\n"
    (tmp_path / "partly.py").write_text(text.replace("from aa_d", more + "from aa_d", 1))
    cfg = load_lazy_config(str(tmp_path / "partly.py"), [f"train.output_dir={tmp_path}"])
    LazyTrainer(cfg)
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "Only 1 of 7 places in the model have a filter" in warning
    assert "backbone.bottom_up.res3.0.aa," in warning
