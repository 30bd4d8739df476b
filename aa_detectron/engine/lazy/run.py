"""Training and evaluation of a model from a LazyConfig and overrides."""

import argparse
from collections.abc import Iterable
from typing import NamedTuple

from omegaconf import DictConfig
from torch import nn

from aa_detectron.checkpoint.checkpointer import check_has_weights

from ..start import kept_messages, start
from .checks import check_lazy_contents
from .config import load_lazy_config
from .evaluation import evaluate_lazy
from .trainer import LazyTrainer, build_lazy_model, make_checkpointer


class LoadedLazyModel(NamedTuple):
    """A model in evaluation mode, and its LazyConfig."""

    cfg: DictConfig
    model: nn.Module


def load_lazy_model(
    config_file: str, weights: str | None = None, opts: Iterable[str] = ()
) -> LoadedLazyModel:
    """Loads a trained model that is ready to predict. The code in the config file is run.

    Args:
        config_file, opts: see :func:`~.config.load_lazy_config`.
        weights: checkpoint, every weight of which must belong to the model; None for
            ``train.init_checkpoint`` of the config.

    Raises:
        InputError, InvalidOption: a file, key or value that does not exist or does not fit.
    """
    cfg = load_lazy_config(config_file, opts, eval_only=True)
    if weights is not None:
        cfg.train.init_checkpoint = str(weights)
    return LoadedLazyModel(cfg, _build_and_load(cfg).eval())


def run_lazy(args: argparse.Namespace) -> dict | None:
    """Trains, or evaluates with ``--eval-only``, in each process.

    Args:
        args: arguments from Detectron2's ``default_argument_parser``, with a LazyConfig.

    Returns:
        Results of the last test, see :func:`~.evaluation.evaluate_lazy`; None without a test.

    Raises:
        InputError, InvalidOption: bad input; the message names the file or key.
    """
    with kept_messages() as early:
        cfg = load_lazy_config(args.config_file, args.opts, eval_only=args.eval_only)
    start(cfg, args, cfg.train.output_dir, early)
    check_lazy_contents(cfg, eval_only=args.eval_only)
    if args.eval_only:
        return evaluate_lazy(cfg, _build_and_load(cfg, resume=args.resume))
    trainer = LazyTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def _build_and_load(cfg: DictConfig, *, resume: bool = False) -> nn.Module:
    """Builds the model with all weights from ``train.init_checkpoint`` or the last checkpoint."""
    model = build_lazy_model(cfg)
    checkpointer = make_checkpointer(cfg, model, strict=True)
    path = cfg.train.init_checkpoint
    check_has_weights(checkpointer, path, resume=resume, key="train.init_checkpoint")
    checkpointer.resume_or_load(path, resume=resume)
    return model
