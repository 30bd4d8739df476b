"""What a step of an optimizer says about the config; whole trainings are in tests/engine."""

import gc

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone
from detectron2.solver import build_optimizer as build_detectron2_optimizer

from aa_detectron import add_aa_config
from aa_detectron.engine.solver import build_optimizer
from aa_detectron.modeling import ignored_keys


def config(multiplier=1.0, optimizer="SGD", consistency=False, filter_multiplier=1.0):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.MODEL.BACKBONE.NAME = "build_aa_resnet_backbone"
    cfg.MODEL.RESNETS.update(
        DEPTH=18, STEM_OUT_CHANNELS=8, RES2_OUT_CHANNELS=8, OUT_FEATURES=["res3"]
    )
    cfg.SOLVER.update(OPTIMIZER=optimizer, BACKBONE_MULTIPLIER=multiplier)
    cfg.SOLVER.FILTER_MULTIPLIER = filter_multiplier
    cfg.TEST.CONSISTENCY.ENABLED = consistency
    return cfg


def build(cfg):
    return torch.nn.ModuleDict({"backbone": build_backbone(cfg)})


def warnings_of_steps(caplog, optimizer, steps=2):
    for _ in range(steps):
        optimizer.step()
    found = [r for r in caplog.records if r.name.endswith("ignored_keys")]
    return [r.getMessage().split(" is ")[0] for r in found]


@pytest.mark.parametrize(
    "options, ignored",
    [
        ({}, []),
        ({"optimizer": "ADAMW"}, ["SOLVER.OPTIMIZER"]),
        ({"multiplier": 0.1}, ["SOLVER.BACKBONE_MULTIPLIER"]),
        ({"filter_multiplier": 10.0}, ["SOLVER.FILTER_MULTIPLIER"]),
        ({"consistency": True}, ["TEST.CONSISTENCY.ENABLED"]),
        (
            {"optimizer": "ADAMW", "multiplier": 0.1, "consistency": True},
            ["SOLVER.OPTIMIZER", "SOLVER.BACKBONE_MULTIPLIER", "TEST.CONSISTENCY.ENABLED"],
        ),
    ],
)
def test_detectron2s_optimizer_ignores_keys(caplog, options, ignored):
    cfg = config(**options)
    model = build(cfg)
    optimizer = build_detectron2_optimizer(cfg, model)
    for group in optimizer.param_groups:  # warm-up
        group |= {"initial_lr": group["lr"], "lr": group["lr"] / 1000}
    assert warnings_of_steps(caplog, optimizer) == ignored


@pytest.mark.parametrize("optimizer", ["SGD", "ADAMW"])
def test_own_optimizer_ignores_none(caplog, optimizer):
    cfg = config(optimizer=optimizer, multiplier=0.1, consistency=True, filter_multiplier=10.0)
    model = build(cfg)
    ignored_keys.consistency_is_measured(model)
    assert warnings_of_steps(caplog, build_optimizer(cfg, model)) == []


@pytest.mark.parametrize("builder", [build_optimizer, build_detectron2_optimizer])
def test_any_registered_backbone(caplog, builder):
    cfg = config(multiplier=0.1)
    cfg.MODEL.BACKBONE.NAME = "build_antialiased_backbone"
    cfg.MODEL.RESNETS.update(STEM_OUT_CHANNELS=64, RES2_OUT_CHANNELS=64)
    cfg.MODEL.ANTIALIAS.BACKBONE = "build_resnet_backbone"
    model = build(cfg)
    expected = [] if builder is build_optimizer else ["SOLVER.BACKBONE_MULTIPLIER"]
    assert warnings_of_steps(caplog, builder(cfg, model)) == expected


def test_rates_and_optimizers_of_the_users(caplog):
    """Keys of these names belong to other extensions, too, whose trainers read them."""
    cfg = config(optimizer="ADAMW", multiplier=0.1)
    model = build(cfg)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.SOLVER.BASE_LR * 0.2)
    assert warnings_of_steps(caplog, optimizer) == []


def test_another_network_is_no_reason_for_a_warning(caplog):
    cfg = config(optimizer="ADAMW")
    model = build(cfg)
    other = torch.optim.SGD(torch.nn.Conv2d(1, 1, 1).parameters())
    assert warnings_of_steps(caplog, other) == []
    assert len(warnings_of_steps(caplog, torch.optim.SGD(model.parameters()))) == 1


def test_a_network_that_is_not_trained_is_forgotten():
    model = build(config(optimizer="ADAMW"))
    assert model["backbone"] in ignored_keys._WANTED
    before = len(ignored_keys._WANTED)
    del model
    gc.collect()
    assert len(ignored_keys._WANTED) == before - 1
