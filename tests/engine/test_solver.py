"""Optimizers and learning rate schedules against Detectron2's and PyTorch's."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.solver import build_optimizer as build_detectron2_optimizer

from aa_detectron import add_aa_config
from aa_detectron.engine.solver import build_lr_scheduler, build_optimizer
from aa_detectron.errors import InvalidOption


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3))
        self.sem_seg_head = torch.nn.Conv2d(3, 3, 1)


def config(**solver):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.SOLVER.update(solver)
    return cfg


def settings(model, optimizer):
    """Learning rate and weight decay by the name of the parameter."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_sgd_is_detectron2s():
    cfg = config(BASE_LR=0.3, BIAS_LR_FACTOR=2.0, WEIGHT_DECAY_NORM=0.5, NESTEROV=True)
    model = Model()
    ours, theirs = build_optimizer(cfg, model), build_detectron2_optimizer(cfg, model)
    assert settings(model, ours) == settings(model, theirs)
    for key in ("momentum", "nesterov", "dampening"):
        assert ours.defaults[key] == theirs.defaults[key]
    for step in range(3):
        weights = []
        for optimizer in (ours, theirs):
            torch.manual_seed(step)
            model.load_state_dict(Model().state_dict())
            for parameter in model.parameters():
                parameter.grad = torch.randn_like(parameter)
            optimizer.step()
            weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        torch.testing.assert_close(*weights)


@pytest.mark.parametrize("optimizer", ["SGD", "ADAMW"])
def test_the_backbone_learns_slower(optimizer):
    cfg = config(OPTIMIZER=optimizer, BASE_LR=0.01, BACKBONE_MULTIPLIER=0.1)
    model = Model()
    for name, (lr, _) in settings(model, build_optimizer(cfg, model)).items():
        assert lr == pytest.approx(0.001 if name.startswith("backbone.") else 0.01)


def test_the_backbones_biases_learn_slower_too():
    cfg = config(BASE_LR=0.01, BACKBONE_MULTIPLIER=0.1, BIAS_LR_FACTOR=2.0)
    model = Model()
    rates = {name: lr for name, (lr, _) in settings(model, build_optimizer(cfg, model)).items()}
    assert rates["backbone.0.bias"] == pytest.approx(0.002)
    assert rates["backbone.0.weight"] == pytest.approx(0.001)
    assert rates["sem_seg_head.bias"] == pytest.approx(0.02)


@pytest.mark.parametrize(
    "freeze, multiplier, expected", [(False, 1.0, 0.01), (False, 5.0, 0.05), (True, 5.0, 0.001)]
)
@pytest.mark.parametrize("name", ["aa", "aa_shortcut", "aa_input"])
def test_filters_have_a_rate_of_their_own(freeze, multiplier, expected, name):
    cfg = config(BASE_LR=0.01, BACKBONE_MULTIPLIER=0.1, FILTER_MULTIPLIER=multiplier)
    cfg.MODEL.ANTIALIAS.FREEZE = freeze
    model = Model()
    model.backbone.add_module(name, torch.nn.Conv2d(3, 3, 1))
    rates = {name: lr for name, (lr, _) in settings(model, build_optimizer(cfg, model)).items()}
    assert rates[f"backbone.{name}.weight"] == pytest.approx(expected)
    assert rates["backbone.0.weight"] == pytest.approx(0.001)


def test_unknown_schedule():
    cfg = config(LR_SCHEDULER_NAME="WarmupPoly")
    with pytest.raises(InvalidOption, match="SOLVER.LR_SCHEDULER_NAME is 'WarmupPoly'"):
        build_lr_scheduler(cfg, build_optimizer(cfg, Model()))


def test_poly_written_out():
    cfg = config(
        LR_SCHEDULER_NAME="WarmupPolyLR", BASE_LR=0.5, MAX_ITER=100, WARMUP_ITERS=10,
        WARMUP_FACTOR=0.2, POLY_LR_POWER=0.9, POLY_LR_CONSTANT_ENDING=0.05,
    )  # fmt: skip
    optimizer = build_optimizer(cfg, Model())
    scheduler = build_lr_scheduler(cfg, optimizer)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(0.5 * 0.2)
    assert rates[5] == pytest.approx(0.5 * (0.2 + 0.9**0.9) / 2)  # half of a straight line
    for i in (10, 50, 90):
        assert rates[i] == pytest.approx(0.5 * (1 - i / 100) ** 0.9)
    assert rates[99] == pytest.approx(0.5 * 0.05)


def test_other_schedules_are_detectron2s():
    cfg = config(LR_SCHEDULER_NAME="WarmupCosineLR", MAX_ITER=10, WARMUP_ITERS=0)
    optimizer = build_optimizer(cfg, Model())
    scheduler = build_lr_scheduler(cfg, optimizer)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(cfg.SOLVER.BASE_LR / 2)


@pytest.mark.parametrize(
    "key, found",
    [("OPTIMIZER", "LION"), ("BACKBONE_MULTIPLIER", -1.0), ("FILTER_MULTIPLIER", -1.0)],
)
def test_refused(key, found):
    with pytest.raises(InvalidOption, match=f"SOLVER.{key}"):
        build_optimizer(config(**{key: found}), Model())
