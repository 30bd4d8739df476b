"""Optimizers and schedules that Detectron2 lacks: AdamW, a slower backbone, poly."""

from collections.abc import Callable

import torch
from detectron2.config import CfgNode
from detectron2.solver import LRMultiplier, WarmupParamScheduler
from detectron2.solver import build_lr_scheduler as build_detectron2_lr_scheduler
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from fvcore.common.param_scheduler import ParamScheduler
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from aa_detectron.config import check_has_keys
from aa_detectron.errors import InvalidOption, check_choice
from aa_detectron.modeling.filter_names import is_filter

OPTIMIZERS: dict[str, Callable] = {
    "SGD": lambda solver: (
        torch.optim.SGD,
        {"momentum": solver.MOMENTUM, "nesterov": solver.NESTEROV},
    ),
    "ADAMW": lambda solver: (torch.optim.AdamW, {}),
}
"""Class and specific arguments of each ``SOLVER.OPTIMIZER``."""


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Builds ``SOLVER.OPTIMIZER`` with Detectron2's parameter groups and this package's factors.

    ``BACKBONE_MULTIPLIER`` does not apply to filters, which are new if a checkpoint has the other
    weights. They have ``FILTER_MULTIPLIER``. With ``MODEL.ANTIALIAS.FREEZE``, filters learn like
    the backbone.

    Raises:
        InvalidOption: an illegal value; the message names the key.
    """
    check_has_keys(cfg)
    solver = cfg.SOLVER
    check_choice("SOLVER.OPTIMIZER", solver.OPTIMIZER, tuple(OPTIMIZERS))
    for key in ("BACKBONE_MULTIPLIER", "FILTER_MULTIPLIER"):
        if solver[key] < 0:
            raise InvalidOption(f"SOLVER.{key}", solver[key], "at least 0")

    def lr_factor(name: str) -> float:
        # Detectron2's own argument for biases would replace the factor of the backbone.
        bias = solver.BIAS_LR_FACTOR if name.rpartition(".")[2] == "bias" else 1.0
        if is_filter(name) and not cfg.MODEL.ANTIALIAS.FREEZE:
            return bias * solver.FILTER_MULTIPLIER
        return bias * (solver.BACKBONE_MULTIPLIER if name.startswith("backbone.") else 1.0)

    parameters = get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
        lr_factor_func=lr_factor,
    )
    kind, arguments = OPTIMIZERS[solver.OPTIMIZER](solver)
    kind = maybe_add_gradient_clipping(cfg, kind)
    return kind(parameters, lr=solver.BASE_LR, weight_decay=solver.WEIGHT_DECAY, **arguments)


def full_rate_for_filters(name: str, *, lr_factor: Callable[[str], float]) -> float:
    """The factor of a parameter's learning rate, which is 1 for the filters.

    Filters are new if a checkpoint has the other weights. This is for ``lr_factor_func`` of
    Detectron2's ``get_default_optimizer_params``.

    Args:
        name: name of the parameter in the model.
        lr_factor: function that returns the factor of any other parameter from its name.
    """
    return 1.0 if is_filter(name) else lr_factor(name)


class PolyParamScheduler(ParamScheduler):
    """max((1 - where) ** power, ``floor``); ``where`` is the training's progress, 0 to 1.

    Source: Chen et al., DeepLab, TPAMI 2018, section 4.1.
    """

    def __init__(self, power: float, floor: float = 0.0):
        self.power = power
        self.floor = floor

    def __call__(self, where: float) -> float:
        return max((1 - where) ** self.power, self.floor)


def build_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
    """Builds one of Detectron2's schedules or "WarmupPolyLR".

    Raises:
        InvalidOption: an illegal value; the message names the key.
    """
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME != "WarmupPolyLR":
        try:
            return build_detectron2_lr_scheduler(cfg, optimizer)
        except ValueError as error:
            if "LR scheduler" not in str(error):
                raise
            legal = '"WarmupPolyLR" or one of Detectron2\'s, such as "WarmupMultiStepLR"'
            raise InvalidOption(
                "SOLVER.LR_SCHEDULER_NAME", solver.LR_SCHEDULER_NAME, legal
            ) from None
    schedule = WarmupParamScheduler(
        PolyParamScheduler(solver.POLY_LR_POWER, solver.POLY_LR_CONSTANT_ENDING),
        solver.WARMUP_FACTOR,
        min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0),
        solver.WARMUP_METHOD,
    )
    return LRMultiplier(optimizer, multiplier=schedule, max_iter=solver.MAX_ITER)
