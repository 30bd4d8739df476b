"""The configs of a comparison's steps: read, checked, and kept in the folders of the runs.

The file run.yaml in a step's folder holds the whole config of the step. It is written before the
step. If a training starts from the weights of another training, it also holds the config of the
other training.
"""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import yaml
from detectron2.config import CfgNode, get_cfg
from tqdm import tqdm

from aa_detectron.config import add_aa_config
from aa_detectron.engine.launch import load_config
from aa_detectron.errors import InputError
from aa_detectron.utils.files import replacing
from aa_detectron.utils.safe_yaml import read_mapping

from .provenance import STEP
from .runs import MAIN, Options, Run, Step

CONFIG = "run.yaml"
START = "START"
"""Key in run.yaml of the config of the training whose weights a run starts from."""
DEVICES = ("MODEL.DEVICE", f"{START}.MODEL.DEVICE")
"""Keys that do not change the results."""


def config_of(step: Step) -> tuple[str, Options]:
    """The config file of a step, and the options that change it.

    Raises:
        InputError: a finished run has no config.yaml.
    """
    if step.run.config_file is not None:
        return step.run.config_file, step.opts
    path = step.folder / "config.yaml"
    if not os.path.isfile(path):
        raise InputError(f"{path}: is missing, so this is not the folder of a finished run")
    return str(path), ()


def load_run_config(run: Run, evaluation: str = MAIN, *, eval_only: bool = False) -> CfgNode:
    """The config of a run's step; config.yaml for a finished run.

    Raises:
        InputError, InvalidOption: the config is missing or cannot be used.
    """
    config_file, opts = config_of(Step(run, evaluation))
    return load_config(config_file, opts, eval_only=eval_only or run.config_file is None)


def finished_seed(run: Run) -> int | None:
    """The seed of a finished run, from its config.yaml; None where it is not known.

    Raises:
        InputError: config.yaml cannot be read, or is that of a LazyConfig.
    """
    path = run.folder / "config.yaml"
    if not os.path.isfile(path):
        return None
    content = read_mapping(path)
    if {"model", "dataloader"} <= content.keys():  # keys of a YAML config are in capitals
        raise InputError(f"{path}: is of a LazyConfig, but only runs of YAML configs are compared")
    seed = content.get("SEED")
    # A negative SEED is a random one in Detectron2.
    return seed if type(seed) is int and seed >= 0 else None


def tested_datasets(run: Run, evaluation: str = MAIN) -> tuple[str, str]:
    """The names of an evaluation's datasets: for accuracy, and for consistency.

    Raises:
        InputError: the config does not have exactly one dataset for each.
    """
    cfg = load_run_config(run, evaluation, eval_only=True)
    pairs = cfg.TEST.CONSISTENCY.DATASETS or cfg.DATASETS.TEST
    for key, names in (("DATASETS.TEST", cfg.DATASETS.TEST), ("TEST.CONSISTENCY.DATASETS", pairs)):
        if len(names) != 1:
            raise InputError(f"{run.folder}: {key} is {tuple(names)}, but must be one dataset")
    return cfg.DATASETS.TEST[0], pairs[0]


def asked_config(step: Step) -> dict:
    """The config of a step; under :data:`START` the config of the training that it starts from."""
    eval_only = step.evaluation != MAIN
    asked = yaml.safe_load(load_run_config(step.run, step.evaluation, eval_only=eval_only).dump())
    if step.run.start and step.evaluation == MAIN:
        asked[START] = asked_config(Step(step.run.start))
    return asked


def check_folder(folder: Path, asked: dict) -> None:
    """Checks that a folder holds no step with another config.

    Keys that did not exist when the step was made count with their defaults. The device does not
    count.

    Raises:
        InputError: the folder holds a step with another config, finished or not.
    """
    if not _begun(folder):
        return
    kept, asked, default = (dict(leaves(n)) for n in (_kept_config(folder), asked, _defaults()))
    for key in sorted(asked.keys() - set(DEVICES)):
        found = kept.get(key, default.get(key.removeprefix(f"{START}.")))
        if found != asked[key]:
            raise InputError(
                f"{folder}: holds a run whose {key} is {found!r}, but "
                f"{asked[key]!r} is asked for; remove it or choose another output"
            )


def _begun(folder: Path) -> bool:
    names = (STEP, "console.txt", "last_checkpoint")
    return any(os.path.exists(folder / name) for name in names)


def _kept_config(folder: Path) -> dict:
    path = folder / CONFIG
    if not os.path.exists(path):
        raise InputError(f"{folder}: holds a training that was not made by a comparison")
    try:
        kept = yaml.safe_load(path.read_text())
    except (OSError, RecursionError, ValueError, yaml.YAMLError):
        kept = None
    if not isinstance(kept, dict):
        raise InputError(f"{path}: is broken; remove {folder} or choose another output")
    return kept


def prepare(runs: list[Run]) -> dict[Run, int]:
    """Checks the configs of all steps of all runs, and then writes them to the steps' folders.

    Args:
        runs: runs with configs.

    Returns:
        {run: number of iterations of its training}.

    Raises:
        InputError, InvalidOption: a config cannot be used, or differs from the config of the step
            in the folder.
    """
    steps = [step for run in runs for step in run.steps]
    places = [os.path.realpath(step.folder) for step in steps]
    for step, place in zip(steps, places, strict=True):
        if places.count(place) > 1:
            raise InputError(f"{step.folder}: is the folder of two trainings")
    configs = {}
    with tqdm(steps, desc="configs", unit="step") as bar:
        for step in bar:
            configs[step] = asked_config(step)
            check_folder(step.folder, configs[step])
    for step, config in configs.items():
        if not _begun(step.folder):
            with replacing(step.folder / CONFIG) as temporary:
                temporary.write_text(yaml.safe_dump(config))
    return {run: configs[Step(run)]["SOLVER"]["MAX_ITER"] for run in runs}


@functools.cache
def _defaults() -> dict:
    """The config without any config file."""
    cfg = get_cfg()
    add_aa_config(cfg)
    return yaml.safe_load(cfg.dump())


def leaves(node: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The full keys of a nested config, such as "MODEL.DEVICE", with their values."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
