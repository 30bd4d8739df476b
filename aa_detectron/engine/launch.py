"""Training and evaluation of a model from a config file and options."""

import argparse
from collections.abc import Iterable
from typing import NamedTuple

from detectron2.config import CfgNode, get_cfg
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from torch import nn
from yaml import YAMLError

from aa_detectron.checkpoint.checkpointer import AACheckpointer, check_has_weights
from aa_detectron.config import add_aa_config
from aa_detectron.errors import InputError, exit_on_bad_input
from aa_detectron.model_zoo import find_config
from aa_detectron.utils.safe_yaml import check_with_bases

from . import own_parts
from .checks import check_config
from .data_checks import check_contents
from .device import usable_device
from .lazy import is_lazy, run_lazy
from .start import kept_messages, start
from .trainer import Trainer

CONFIG_ERRORS = (
    *(AssertionError, AttributeError, LookupError, OSError, RecursionError, TypeError),
    *(ValueError, YAMLError),
)
"""Errors of fvcore and yacs about files, keys and values that cannot be used."""


def load_config(
    config_file: str | None = None, opts: Iterable[str] = (), *, eval_only: bool = False
) -> CfgNode:
    """Builds a frozen config that :func:`.checks.check_config` has checked.

    Args:
        config_file: path, or name in the model zoo (:mod:`aa_detectron.model_zoo`); None for the
            defaults.
        opts: list KEY VALUE KEY VALUE ..., which overrides the file.
        eval_only: whether the training datasets are left unchecked.

    Raises:
        InputError, InvalidOption: a file, key or dataset that does not exist, or an illegal value.
    """
    cfg = get_cfg()
    add_aa_config(cfg)
    if is_lazy(config_file):
        raise InputError(f"{config_file}: is a LazyConfig, but must be a YAML file here")
    try:
        if config_file:
            path = find_config(config_file)
            _check_nodes(cfg, check_with_bases(path), path)
            cfg.merge_from_file(path)
        cfg.merge_from_list(list(opts))
    except CONFIG_ERRORS as error:
        # str() of a KeyError puts its message in quotes.
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        where = config_file or "command line"
        raise InputError(f"{where}: {' '.join(str(reason).split())}") from error
    cfg.MODEL.DEVICE = usable_device("MODEL.DEVICE", cfg.MODEL.DEVICE)
    check_config(cfg, eval_only=eval_only)
    cfg.freeze()
    return cfg


def _check_nodes(cfg: CfgNode, content: dict, path: str, prefix: str = "") -> None:
    """Raises InputError if ``content`` has a value in place of a node of ``cfg``."""
    for key, value in content.items():
        node = cfg.get(key)
        if isinstance(node, CfgNode):
            if not isinstance(value, dict):
                raise InputError(f"{path}: {prefix}{key} is {value!r}, but must hold further keys")
            _check_nodes(node, value, path, f"{prefix}{key}.")


class LoadedModel(NamedTuple):
    """A model in evaluation mode, and its config."""

    cfg: CfgNode
    model: nn.Module


def load_model(
    config_file: str, weights: str | None = None, opts: Iterable[str] = ()
) -> LoadedModel:
    """Loads a trained model that is ready to predict.

    Args:
        config_file, opts: see :func:`load_config`.
        weights: checkpoint, every weight of which must belong to the model; None for
            ``MODEL.WEIGHTS`` of the config.

    Raises:
        InputError, InvalidOption: a file, key or value that does not exist or does not fit.
    """
    weights_option = [] if weights is None else ["MODEL.WEIGHTS", str(weights)]
    cfg = load_config(config_file, [*opts, *weights_option], eval_only=True)
    return LoadedModel(cfg, _build_and_load(cfg).eval())


def _build_and_load(cfg: CfgNode, *, resume: bool = False) -> nn.Module:
    """Builds the model with all weights from ``MODEL.WEIGHTS`` or from the last checkpoint."""
    model = Trainer.build_model(cfg)
    checkpointer = AACheckpointer.from_config(cfg, model, strict=True)
    check_has_weights(checkpointer, cfg.MODEL.WEIGHTS, resume=resume)
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    return model


def setup(args: argparse.Namespace) -> CfgNode:
    """Loads the config with :func:`load_config`, starts the loggers and seeds the generators.

    Args:
        args: arguments from Detectron2's ``default_argument_parser``.

    Raises:
        InputError: also for an output folder that cannot be written, or that another training uses.
    """
    with kept_messages() as early:
        cfg = load_config(args.config_file, args.opts, eval_only=args.eval_only)
    start(cfg, args, cfg.OUTPUT_DIR, early)
    return cfg


def main(args: argparse.Namespace) -> dict | None:
    """Trains, or evaluates with ``--eval-only``; tools/train_net.py runs this in each process.

    Args:
        args: arguments from Detectron2's ``default_argument_parser``, with or without those of
            :func:`.own_parts.add_arguments`; the config file is a YAML file or a LazyConfig.
    """
    with exit_on_bad_input():
        own_parts.register(args)
        if is_lazy(args.config_file):
            return run_lazy(args)
        cfg = setup(args)
        check_contents(cfg, ("TEST",) if args.eval_only else ("TRAIN", "TEST"))
        if args.eval_only:
            return evaluate(cfg, resume=args.resume)
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        return trainer.train()


def evaluate(cfg: CfgNode, *, resume: bool = False) -> dict:
    """Tests the model with ``MODEL.WEIGHTS`` or, with ``resume``, with the last checkpoint."""
    results = Trainer.test(cfg, _build_and_load(cfg, resume=resume))
    if comm.is_main_process():
        verify_results(cfg, results)
    return results
