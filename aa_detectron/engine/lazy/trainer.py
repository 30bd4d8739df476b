"""Training of a model from a LazyConfig, with this package's checkpoints and exact resume."""

import os
from typing import Any

from detectron2.engine import AMPTrainer, HookBase, SimpleTrainer, hooks
from detectron2.engine.defaults import default_writers
from detectron2.engine.train_loop import TrainerBase
from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf
from torch import nn

from aa_detectron.checkpoint.checkpointer import AACheckpointer
from aa_detectron.checkpoint.final import FinalCheckpoint
from aa_detectron.data.train_loader import begin_at
from aa_detectron.modeling.known_filter import known_filter
from aa_detectron.modeling.missing_filters import warn_of_partial_filters

from ..distributed import unused_parameters_named, wrap_for_processes
from ..folder_lock import only_training_in
from ..machine import explained
from ..reproducibility import KeyedSteps, LossNormalizer, forget_metrics, warn_of_inexact_data
from .config import instantiated
from .evaluation import evaluate_lazy


class _Steps(TrainerBase):
    """Steps of Detectron2's trainer, with errors in one line."""

    model: nn.Module

    def run_step(self) -> None:
        with unused_parameters_named(self.model, "train.ddp.find_unused_parameters"):
            super().run_step()

    def after_train(self) -> None:
        # Detectron2 counts one iteration too many if nothing was left to train.
        self.iter: int = min(self.iter, self.max_iter)
        super().after_train()


class _PlainSteps(_Steps, SimpleTrainer):
    pass


class _MixedSteps(_Steps, AMPTrainer):
    pass


class LazyTrainer:
    """Trains as Detectron2's tools/lazyconfig_train_net.py does.

    Checkpoints, tests and resume are those of :class:`~aa_detectron.engine.Trainer`. Resume is
    exact if ``train.seed`` is set and ``dataloader.train`` calls
    :func:`~aa_detectron.data.train_loader.make_train_loader`.

    Args:
        cfg: config from :func:`~.config.load_lazy_config`.

    Raises:
        InputError: a part of the config cannot be made.
    """

    def __init__(self, cfg: DictConfig):
        self.cfg = cfg
        with explained(cfg.train.output_dir):
            model = build_lazy_model(cfg)
            optimizer = _build_optimizer(cfg, model)
            loader = instantiated(cfg, "dataloader.train")
            model = wrap_for_processes(model, **cfg.train.ddp)
        steps = _MixedSteps if cfg.train.amp.enabled else _PlainSteps
        self.steps = steps(model, loader, optimizer)
        self.checkpointer = make_checkpointer(cfg, model, trainer=self.steps)
        self.results: dict | None = None
        self.start_iter = 0
        self.steps.register_hooks(self._hooks())

    @property
    def model(self) -> nn.Module:
        """Model, in DDP's wrapper if there are several processes."""
        return self.steps.model

    def resume_or_load(self, *, resume: bool = False) -> None:
        """Loads ``train.init_checkpoint``, or with ``resume`` the last checkpoint, if any.

        With ``resume``, metrics.json keeps only the lines from before the checkpoint.

        Raises:
            InputError: the checkpoint does not fit, or another training runs in the folder.
        """
        train = self.cfg.train
        with only_training_in(train.output_dir):
            resumed = resume and self.checkpointer.has_checkpoint()
            self.checkpointer.resume_or_load(train.init_checkpoint, resume=resume)
            self.start_iter = self.steps.iter + 1 if resumed else 0
            if resume and comm.is_main_process():
                forget_metrics(os.path.join(train.output_dir, "metrics.json"), self.start_iter)

    def train(self) -> dict | None:
        """Trains; returns the results of the last test, None without a test."""
        train = self.cfg.train
        continues = begin_at(self.steps.data_loader, self.start_iter)
        if self.start_iter:
            loader = None if continues else "dataloader.train"
            warn_of_inexact_data("train.seed", train.seed, loader)
        with only_training_in(train.output_dir), explained(train.output_dir):
            self.steps.train(self.start_iter, train.max_iter)
        return self.results

    def _hooks(self) -> list[HookBase]:
        train = self.cfg.train
        seed = train.seed if train.seed >= 0 else comm.shared_random_seed()
        schedule = instantiated(self.cfg, "lr_multiplier")
        both = [
            KeyedSteps(seed),
            LossNormalizer(),
            hooks.IterationTimer(),
            hooks.LRScheduler(scheduler=schedule),
        ]
        test = hooks.EvalHook(train.eval_period, self._test)
        if not comm.is_main_process():
            return [*both, test]
        return [
            FinalCheckpoint(self.checkpointer),
            *both,
            hooks.PeriodicCheckpointer(self.checkpointer, **train.checkpointer),
            test,
            hooks.PeriodicWriter(
                default_writers(train.output_dir, train.max_iter), period=train.log_period
            ),
        ]

    def _test(self) -> dict:
        self.results = evaluate_lazy(self.cfg, self.model)
        return self.results


def build_lazy_model(cfg: DictConfig) -> nn.Module:
    """Builds ``model`` on ``train.device``; warns if only some of its places have filters."""
    model = instantiated(cfg, "model").to(cfg.train.device)
    warn_of_partial_filters(model)
    return model


def make_checkpointer(cfg: DictConfig, model: nn.Module, **kwargs: Any) -> AACheckpointer:
    """Makes a checkpointer in ``train.output_dir``, with what the model knows about itself.

    Args:
        cfg: config of the model.
        model: model, which may be in DDP's wrapper.
        kwargs: further arguments of :class:`~aa_detectron.checkpoint.checkpointer.AACheckpointer`.
    """
    return AACheckpointer(
        model,
        cfg.train.output_dir,
        input_format=getattr(getattr(model, "module", model), "input_format", None),
        filters=known_filter(model),
        **kwargs,
    )


def _build_optimizer(cfg: DictConfig, model: nn.Module) -> Any:
    """Builds ``optimizer`` for the parameters of ``model``, which its ``params`` refer to."""
    if OmegaConf.select(cfg, "optimizer.params") is not None:
        cfg.optimizer.params.model = model
    try:
        return instantiated(cfg, "optimizer")
    finally:
        if OmegaConf.select(cfg, "optimizer.params") is not None:
            del cfg.optimizer.params.model
