"""Checks of a LazyConfig before anything is built."""

import dataclasses

from detectron2.data import DatasetCatalog
from omegaconf import DictConfig, ListConfig, OmegaConf

from aa_detectron.data.datasets.check import check_dataset, check_images
from aa_detectron.data.datasets.register import HOW_TO_REGISTER
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.evaluation.consistency import ConsistencyOptions

from ..checks import check_consistency
from ..data_checks import check_pairs
from ..legal_values import RULES, Rule, one_of

_YES_OR_NO = one_of((True, False))
_TEXT = Rule("text", lambda value: isinstance(value, str) and value != "")
_RULES: dict[str, Rule] = {
    "train.amp.enabled": _YES_OR_NO,
    "train.checkpointer.period": RULES["SOLVER.CHECKPOINT_PERIOD"],
    "train.ddp.find_unused_parameters": _YES_OR_NO,
    "train.device": RULES["MODEL.DEVICE"],
    "train.eval_period": RULES["TEST.EVAL_PERIOD"],
    "train.log_period": RULES["SOLVER.CHECKPOINT_PERIOD"],
    "train.max_iter": RULES["SOLVER.MAX_ITER"],
    "train.output_dir": _TEXT,
    "train.seed": RULES["SEED"],
    **{
        f"consistency.{field.name}": RULES.get(f"TEST.CONSISTENCY.{field.name.upper()}", _YES_OR_NO)
        for field in dataclasses.fields(ConsistencyOptions)
        if field.name != "seed"
    },
    "consistency.seed": RULES["SEED"],
}


def check_lazy_config(cfg: DictConfig, *, eval_only: bool = False) -> None:
    """Rejects a config that would fail, or give misleading results, later on.

    Args:
        cfg: config with all keys of ``train`` and ``consistency``.
        eval_only: whether the training datasets are left unchecked.

    Raises:
        InputError: a dataset that is not registered, or a key of ``consistency`` that does not
            exist.
        InvalidOption: an illegal value; the message names the key.
    """
    known = {field.name for field in dataclasses.fields(ConsistencyOptions)}
    for key in cfg.consistency:
        if key not in known:
            raise InputError(f"consistency.{key}: there is no such key; {_listed(known)}")
    for key, rule in _RULES.items():
        value = OmegaConf.select(cfg, key)
        value = list(value) if isinstance(value, ListConfig) else value
        if not rule.holds(value):
            raise InvalidOption(key, value, rule.legal)
    if cfg.train.amp.enabled and not (eval_only or cfg.train.device.startswith("cuda")):
        raise InvalidOption("train.amp.enabled", True, f"False for train.device {cfg.train.device}")
    if OmegaConf.select(cfg, "train.model_ema.enabled"):
        raise InvalidOption("train.model_ema.enabled", True, "False: there is no averaged model")
    for split in ("test",) if eval_only else ("train", "test"):
        for name in dataset_names(cfg, split):
            if name not in DatasetCatalog:
                key = f"dataloader.{split}.dataset.names"
                raise InputError(f"{key}: {name!r} is not a registered dataset; {HOW_TO_REGISTER}")
    options = consistency_options(cfg)
    if options.enabled and not (options.datasets or dataset_names(cfg, "test")):
        raise InputError("consistency.datasets: is empty, and dataloader.test names no dataset")
    check_consistency(options, dataset_names(cfg, "test"), "consistency.{}".format)


def check_lazy_contents(cfg: DictConfig, *, eval_only: bool = False) -> None:
    """Reads the annotations of all datasets, and looks for their images.

    Raises:
        InputError: see :func:`~aa_detectron.data.datasets.check.check_dataset` and
            :func:`~aa_detectron.engine.data_checks.check_pairs`.
    """
    for split in ("test",) if eval_only else ("train", "test"):
        for name in dataset_names(cfg, split):
            check_dataset(name, for_training=split == "train", needs_masks=False)
            check_images(name)
    check_pairs(consistency_options(cfg), dataset_names(cfg, "test"), needs_masks=False)


def check_override(cfg: DictConfig, key: str) -> None:
    """Rejects an override of a key that does not exist.

    An argument that the config leaves at its default may be added to a call.

    Args:
        cfg: the whole config.
        key: path of the key.

    Raises:
        InputError: nothing would read the key.
    """
    parent, _, name = key.lstrip("+").rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if isinstance(node, DictConfig) and (name in node or "_target_" in node):
        return
    if isinstance(node, ListConfig) and name.isdigit() and int(name) < len(node):
        return
    raise InputError(f"command line: {key}: there is no such key in the config")


def consistency_options(cfg: DictConfig) -> ConsistencyOptions:
    """Reads the options of the test of consistency from ``consistency``."""
    options = {str(key): value for key, value in cfg.consistency.items()}
    return ConsistencyOptions(**options | {"datasets": tuple(options["datasets"])})


def dataset_names(cfg: DictConfig, split: str) -> tuple[str, ...]:
    """Names of the datasets of ``dataloader.train`` or ``dataloader.test``; empty if unknown."""
    names = OmegaConf.select(cfg, f"dataloader.{split}.dataset.names")
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)


def _listed(names: set[str]) -> str:
    return "the keys are " + ", ".join(sorted(names))
