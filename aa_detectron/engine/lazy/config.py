"""LazyConfigs: Python files that describe a model and its training as calls.

Source: Detectron2's documentation, "LazyConfigs"
(https://detectron2.readthedocs.io/en/latest/tutorials/lazyconfigs.html).
"""

import builtins
import contextlib
import copy
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from detectron2.config import LazyConfig, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aa_detectron.errors import InputError, InvalidOption, first_line
from aa_detectron.evaluation.consistency import ConsistencyOptions
from aa_detectron.model_zoo import find_config

from ..device import usable_device
from .checks import check_lazy_config, check_override

DEFAULTS: dict[str, dict[str, Any]] = {
    "train": {
        "output_dir": "./output",
        "init_checkpoint": "",
        "max_iter": 90000,
        "amp": {"enabled": False},
        "ddp": {
            "broadcast_buffers": False,
            "find_unused_parameters": False,
            "fp16_compression": False,
        },
        "checkpointer": {"period": 5000, "max_to_keep": 100},
        "eval_period": 5000,
        "log_period": 20,
        "device": "cuda",
        "seed": -1,
    },
    "consistency": dataclasses.asdict(ConsistencyOptions()),
}
"""Values of keys that a file lacks; those of ``train`` are the ones of Detectron2's model zoo."""


def is_lazy(config_file: str | None) -> bool:
    """Whether the name of a config file is that of a LazyConfig."""
    return bool(config_file) and str(config_file).endswith(".py")


def load_lazy_config(
    config_file: str, opts: Iterable[str] = (), *, eval_only: bool = False
) -> DictConfig:
    """Loads a LazyConfig, adds :data:`DEFAULTS` and checks it. The code in the file is run.

    Args:
        config_file: Python file, or name in the model zoo (:mod:`aa_detectron.model_zoo`).
        opts: overrides, each of the form "path.key=value".
        eval_only: whether the training datasets are left unchecked.

    Raises:
        InputError: the file cannot be run, has no ``model``, or names a dataset or key that does
            not exist.
        InvalidOption: an illegal value; the message names the key.
    """
    path = find_config(str(config_file))
    cfg = _read(path)
    if "model" not in cfg:
        raise InputError(f"{path}: has no model, but must define one with LazyCall")
    for section, defaults in DEFAULTS.items():
        own = cfg.get(section) or {}
        cfg[section] = OmegaConf.merge(OmegaConf.create(copy.deepcopy(defaults)), own)
    _override(cfg, path, list(opts))
    cfg.train.device = usable_device("train.device", str(cfg.train.device))
    check_lazy_config(cfg, eval_only=eval_only)
    return cfg


def instantiated(cfg: DictConfig, key: str) -> Any:
    """Makes the object that a part of a LazyConfig describes.

    Args:
        cfg: the whole config, to which references in the part refer.
        key: path of the part, such as "dataloader.test.mapper".

    Raises:
        InputError: the part is missing, refers to something that is missing, or has an argument
            that its function does not have.
    """
    try:
        part = OmegaConf.select(cfg, key)
        if part is None:
            raise InputError(f"{key}: is missing in the config")
        return instantiate(part)
    except OmegaConfBaseException as error:
        raise InputError(f"{key}: {first_line(error)}") from error
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise InputError(f"{key}: {first_line(error)}") from error


def _read(path: str) -> DictConfig:
    try:
        with _original_import():
            return LazyConfig.load(path)
    except (InputError, InvalidOption):
        raise
    except Exception as error:  # whatever the code in the file raises
        cause = error.__cause__ if isinstance(error.__cause__, SyntaxError) else error
        raise InputError(f"{path}: {type(cause).__name__}: {first_line(cause)}") from error


@contextlib.contextmanager
def _original_import() -> Iterator[None]:
    """Restores ``import`` after the block; Detectron2 does not do so after an error in a file."""
    original = builtins.__import__
    try:
        yield
    finally:
        builtins.__import__ = original


def _override(cfg: DictConfig, path: str, opts: list[str]) -> None:
    for option in opts:
        if "=" not in option:
            raise InputError(f"command line: {option!r} must be path.key=value for {path}")
        check_override(cfg, option.partition("=")[0])
    try:
        LazyConfig.apply_overrides(cfg, opts)
    except Exception as error:  # of Hydra's parser and of OmegaConf
        raise InputError(f"command line: {first_line(error)}") from error
