"""Warns of a training that ignores keys which only this package's trainer reads.

Trainers that derive from Detectron2's ``DefaultTrainer`` alone ignore ``SOLVER.OPTIMIZER``,
``SOLVER.BACKBONE_MULTIPLIER``, ``SOLVER.FILTER_MULTIPLIER`` and ``TEST.CONSISTENCY``. A backbone
knows its config when it is built, but not who will train it. So the first optimizer that makes a
step with the backbone's weights is compared with the config.
"""

import functools
import logging
import math
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from .filter_names import is_filter

logger = logging.getLogger(__name__)

TRAINER = "aa_detectron.engine.Trainer"


class Wanted(NamedTuple):
    """Values of the keys that a trainer might ignore."""

    optimizer: str
    base_lr: float
    multiplier: float
    filter_multiplier: float
    consistency: bool


_WANTED: weakref.WeakKeyDictionary[nn.Module, Wanted] = weakref.WeakKeyDictionary()
"""Backbones that have not been trained yet."""


def watch(backbone: nn.Module, cfg: CfgNode) -> None:
    """Lets the first training step of a backbone warn of each key that the training ignores.

    Args:
        backbone: network that was built from the config, with convs.
        cfg: config of the model.
    """
    solver = cfg.SOLVER
    wanted = Wanted(
        solver.OPTIMIZER,
        solver.BASE_LR,
        solver.BACKBONE_MULTIPLIER,
        1.0 if cfg.MODEL.ANTIALIAS.FREEZE else solver.FILTER_MULTIPLIER,
        cfg.TEST.CONSISTENCY.ENABLED,
    )
    if wanted != Wanted("SGD", solver.BASE_LR, 1.0, 1.0, False):  # else every trainer does
        _WANTED[backbone] = wanted
        _look_at_optimizers()


def consistency_is_measured(model: nn.Module) -> None:
    """Says that the trainer of a model reads ``TEST.CONSISTENCY``, so that no step warns of it."""
    for module in model.modules():
        if module in _WANTED:
            _WANTED[module] = _WANTED[module]._replace(consistency=False)


@functools.cache
def _look_at_optimizers() -> None:
    register_optimizer_step_pre_hook(_before_step)


def _before_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    for backbone, wanted in list(_WANTED.items()):
        rates = {of: _learning_rates(backbone, optimizer, of_filters=of) for of in (False, True)}
        if rates[False]:
            del _WANTED[backbone]
            if comm.is_main_process():
                for line in _ignored(wanted, optimizer, rates[False], rates[True]):
                    logger.warning(line)


def _learning_rates(
    backbone: nn.Module, optimizer: torch.optim.Optimizer, *, of_filters: bool
) -> list[float]:
    """The learning rates, before warm-up, of the convs in a backbone's filters or of all others."""
    convs = {
        parameter
        for name, parameter in backbone.named_parameters()
        if parameter.ndim == 4 and of_filters == is_filter(name)
    }
    return [
        group.get("initial_lr", group["lr"])
        for group in optimizer.param_groups
        if not convs.isdisjoint(group["params"])
    ]


def _ignored(
    wanted: Wanted,
    optimizer: torch.optim.Optimizer,
    rates: list[float],
    filter_rates: list[float],
) -> Iterator[str]:
    """Yields a warning for each key that certainly has no effect."""
    derive = f"derive the trainer from {TRAINER}"
    build = f"{derive}, or build the optimizer with aa_detectron.engine.solver.build_optimizer"
    if wanted.optimizer != "SGD" and isinstance(optimizer, torch.optim.SGD):
        yield f"SOLVER.OPTIMIZER is {wanted.optimizer!r}, but the model is trained by SGD; {build}"
    for key, multiplier, found, what in (
        ("BACKBONE_MULTIPLIER", wanted.multiplier, rates, "backbone has"),
        ("FILTER_MULTIPLIER", wanted.filter_multiplier, filter_rates, "filters have"),
    ):
        unscaled = any(math.isclose(rate, wanted.base_lr, rel_tol=1e-6) for rate in found)
        if multiplier != 1 and unscaled:
            rate = "the learning rate SOLVER.BASE_LR"
            yield f"SOLVER.{key} is {multiplier}, but the {what} {rate}; {build}"
    if wanted.consistency:
        yield (
            f"TEST.CONSISTENCY.ENABLED is True, but only {TRAINER} reads it; {derive}, or call "
            "Trainer.test_consistency(cfg, model) after the training"
        )
