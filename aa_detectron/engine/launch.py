"""From command line arguments to a trained or evaluated model."""

import logging
import os

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import default_setup
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from yaml import YAMLError

from aa_detectron.checkpoint.checkpointer import AACheckpointer
from aa_detectron.config import CLASSIFIER, add_aa_config, check_consistency_config, check_data_sets
from aa_detectron.data.datasets.class_folders import find_classes, register_class_folders
from aa_detectron.errors import InputError, InvalidOption, exit_on_bad_input

from .trainer import Trainer, check_evaluator_type

CONFIG_ERRORS = (
    *(AssertionError, AttributeError, LookupError, OSError, RecursionError, TypeError),
    *(ValueError, YAMLError),
)
"""Of fvcore and yacs, for files, keys and values that cannot be used."""


def load_config(args) -> CfgNode:
    """The frozen config of Detectron2's arguments.

    Raises:
        InputError, InvalidOption: a file, key, value or data set that is not there.
    """
    cfg = get_cfg()
    add_aa_config(cfg)
    try:
        if args.config_file:
            cfg.merge_from_file(args.config_file)
        cfg.merge_from_list(args.opts)
    except CONFIG_ERRORS as error:
        # The text of a KeyError is the representation of its message.
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        where = args.config_file or "command line"
        raise InputError(f"{where}: {' '.join(str(reason).split())}") from error
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"  # Detectron2's default could only fail
    if cfg.MODEL.META_ARCHITECTURE == CLASSIFIER:
        register_folders(cfg)
    splits = ("TEST",) if args.eval_only else ("TRAIN", "TEST")
    for split in splits:
        for name in cfg.DATASETS[split]:
            if name not in DatasetCatalog:
                raise InputError(f"DATASETS.{split}: {name!r} is not a registered data set")
    for name in cfg.DATASETS.TEST:
        check_evaluator_type(name)
    check_consistency_config(cfg)
    check_data_sets(cfg, splits)
    cfg.freeze()
    return cfg


def register_folders(cfg: CfgNode) -> None:
    """Registers folders of class folders that ``DATASETS`` names, under their paths.

    All have the classes of the training's, registered or a folder, in its order.

    Raises:
        InputError: a folder without class folders.
    """
    classes = None
    for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        if name in DatasetCatalog:
            metadata = MetadataCatalog.get(name)
            classes = classes or metadata.get("wnids") or metadata.get("classes")
        elif os.path.isdir(name):
            classes = classes or find_classes(name)
            register_class_folders(name, name, classes)


def setup(args) -> CfgNode:
    """:func:`load_config`; starts Detectron2's loggers and seeds.

    Raises:
        InputError: also for an output folder that cannot be written.
    """
    cfg = load_config(args)
    try:
        os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
        reason = None if os.access(cfg.OUTPUT_DIR, os.W_OK | os.X_OK) else "no permission"
    except OSError as error:
        reason = error.strerror
    if reason:
        raise InputError(f"OUTPUT_DIR: {cfg.OUTPUT_DIR} cannot be written ({reason})")
    default_setup(cfg, args)
    logging.getLogger("detectron2.engine.train_loop").addFilter(_is_no_input_error)
    return cfg


def _is_no_input_error(record: logging.LogRecord) -> bool:
    """Detectron2 logs every error's traceback; bad input is to end in one line."""
    return not (record.exc_info and isinstance(record.exc_info[1], InputError | InvalidOption))


def main(args) -> dict | None:
    """Trains, or evaluates with ``--eval-only``; what tools/train_net.py runs in each process."""
    with exit_on_bad_input():
        cfg = setup(args)
        if args.eval_only:
            return evaluate(cfg, resume=args.resume)
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        return trainer.train()


def evaluate(cfg: CfgNode, *, resume: bool = False) -> dict:
    """Tests the model of ``MODEL.WEIGHTS``, or of the last checkpoint with ``resume``."""
    model = Trainer.build_model(cfg)
    checkpointer = AACheckpointer(model, cfg.OUTPUT_DIR, strict=True, input_format=cfg.INPUT.FORMAT)
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    results = Trainer.test(cfg, model)
    if comm.is_main_process():
        verify_results(cfg, results)
    return results
