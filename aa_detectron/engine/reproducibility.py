"""Hooks that make a resumed training equal to an uninterrupted training."""

import json
import logging
import os
import warnings

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import nn

from aa_detectron.utils.keyed_random import seed_generators

logger = logging.getLogger(__name__)


class KeyedSteps(HookBase):
    """Makes an iteration a function of the state in the checkpoint.

    The global generators are seeded before every iteration from (seed, iteration, rank). So the
    random numbers of a step (sampled proposals, dropout) do not depend on earlier steps,
    evaluations or workers. Checkpoints need not contain the states of the generators.
    Only the main process writes checkpoints, and a training may be resumed on another device.

    TorchScript, which runs RetinaNet's loss, fuses a function after a few calls in a process. This
    changes the last digits of its results, so fusion is off during the training.

    Args:
        seed: any integer.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self._fusion: list[tuple[str, int]] | None = None

    def before_train(self) -> None:
        self._fusion = _set_fusion([])

    def before_step(self) -> None:
        seed_generators(self.seed, "step", self.trainer.iter, comm.get_rank())

    def after_train(self) -> None:
        if self._fusion is not None:  # also called if the training fails before its start
            _set_fusion(self._fusion)


def _set_fusion(strategy: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Sets the fusion strategy; returns the previous strategy."""
    with warnings.catch_warnings():  # deprecated, like TorchScript as a whole
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.set_fusion_strategy(strategy)


class LossNormalizer(HookBase):
    """Saves the running mean by which Detectron2's dense detectors divide their losses.

    The mean is not a buffer of the model. Each process has its own mean, and checkpoints contain
    the mean of the main process. So a RetinaNet is resumed exactly only in a single process.
    """

    def state_dict(self) -> dict:
        name = "loss_normalizer"
        return {name: getattr(self._model, name)} if hasattr(self._model, name) else {}

    def load_state_dict(self, state: dict) -> None:
        self._model.loss_normalizer = state["loss_normalizer"]

    @property
    def _model(self) -> nn.Module:
        return getattr(self.trainer.model, "module", self.trainer.model)


_INEXACT = "the weights will not equal those of a training without a break"


def warn_of_inexact_resume(cfg: CfgNode, loader: str | None) -> None:
    """Warns of the parts of a training that prevent an exact resume.

    Args:
        cfg: config of the training.
        loader: see :func:`warn_of_inexact_data`.
    """
    warn_of_inexact_data("SEED", cfg.SEED, loader)
    if cfg.TEST.PRECISE_BN.ENABLED:
        logger.warning(f"TEST.PRECISE_BN begins its images anew: {_INEXACT}")


def warn_of_inexact_data(key: str, seed: int, loader: str | None = None) -> None:
    """Warns if a resumed training gets its images in another order.

    Args:
        key: config key of the seed.
        seed: seed of the training; below 0 for a random seed.
        loader: config key or method of a training loader that starts anew when a training is
            resumed; None for a loader that continues.
    """
    if seed < 0:
        logger.warning(f"{key} is {seed}, so the data come in another order: {_INEXACT}")
    elif loader is not None:
        ours = "aa_detectron.data.train_loader.make_train_loader"
        logger.warning(f"{loader} is not {ours} and begins its images anew: {_INEXACT}")


def forget_metrics(path: str, start: int) -> None:
    """Removes the lines from a metrics.json that a resumed training will write again.

    These are the lines from iteration ``start`` on, and a truncated line. The file is changed in
    place, since it may be open for appending.
    """
    if not os.path.isfile(path):
        return
    with open(path, "rb+") as file:
        lines = file.readlines()
        is_kept = [_is_before(line, start) for line in lines]
        first_gone = is_kept.index(False) if False in is_kept else len(lines)
        file.seek(sum(map(len, lines[:first_gone])))
        file.truncate()
        # Detectron2 may write the line of an evaluation after the line of a later iteration.
        rest = zip(lines[first_gone:], is_kept[first_gone:], strict=True)
        file.write(b"".join(line for line, kept in rest if kept))


def _is_before(line: bytes, iteration: int) -> bool:
    try:
        return line.endswith(b"\n") and json.loads(line)["iteration"] < iteration
    except (KeyError, TypeError, ValueError):
        return False
