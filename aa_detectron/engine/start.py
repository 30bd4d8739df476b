"""The start of a command: folder, loggers and random seeds."""

import argparse
import contextlib
import functools
import logging
from collections.abc import Iterator
from logging.handlers import MemoryHandler
from typing import Any

from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.model_zoo import find_config

from .folder_lock import only_training_in
from .machine import check_writable, end_logs_on_full_disk, explain, explained, whole_files

PACKAGE = "aa_detectron"


@contextlib.contextmanager
def kept_messages() -> Iterator[MemoryHandler]:
    """Inside the block, the log messages of this package are also kept for :func:`start`."""
    package, early = logging.getLogger(PACKAGE), MemoryHandler(1000, logging.CRITICAL + 1)
    package.addHandler(early)
    try:
        yield early
    finally:
        package.removeHandler(early)


def start(cfg: Any, args: argparse.Namespace, folder: str, early: MemoryHandler) -> None:
    """Makes the output folder, starts the loggers and seeds the generators.

    Args:
        cfg: config, a ``CfgNode`` or a LazyConfig.
        args: arguments from Detectron2's ``default_argument_parser``.
        folder: output folder that the config names.
        early: messages from before the loggers are started, see :func:`kept_messages`.

    Raises:
        InputError: the folder cannot be written, or another training uses it.
    """
    check_writable(folder)
    if not args.eval_only:
        with only_training_in(folder):
            pass  # otherwise the log and config of another training would be lost
    if args.config_file:  # Detectron2 writes the file's text to the log
        args.config_file = find_config(args.config_file)
    with explained(folder), whole_files():
        default_setup(cfg, args)
    setup_logger(folder, distributed_rank=comm.get_rank(), name=PACKAGE, abbrev_name="aa")
    for name in ("detectron2", "fvcore", PACKAGE):
        end_logs_on_full_disk(name)
    for record in early.buffer:
        logging.getLogger(PACKAGE).handle(record)
    is_bug = functools.partial(_is_bug, folder)
    logging.getLogger("detectron2.engine.train_loop").addFilter(is_bug)


def _is_bug(folder: str, record: logging.LogRecord) -> bool:
    """Detectron2 logs the traceback of every error; only a bug should have one."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, InputError | InvalidOption) and explain(error, folder) is None
