"""Errors of the machine that end a correct command: a full disk, a killed worker."""

import contextlib
import errno
import functools
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from detectron2.utils import file_io
from detectron2.utils.file_io import PathManager

from aa_detectron.checkpoint.writing import replacing_checkpoint
from aa_detectron.errors import InputError, InvalidOption

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""Errors of writing, none of which is a bug."""
_ROOM = 2**16
"""Bytes that every training or test needs at its start, for config and log."""
_WORKER = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) "
    r"(is killed by signal: [\w ]+|exited unexpectedly)"
)


def explain(error: BaseException | None, folder: str) -> InputError | None:
    """Explains an error of the machine in one line; None for any other error.

    Args:
        error: exception. If it was raised while another exception was handled, as at the end of a
            training, the other exception counts as well.
        folder: value of ``OUTPUT_DIR``.
    """
    if error is None or isinstance(error, InputError | InvalidOption):
        return None
    if isinstance(error, OSError):
        path = _path_of(error)
        is_ours = path is not None and Path(folder).resolve() in Path(path).resolve().parents
        if is_ours or error.errno in _DISK:
            return InputError(f"{path or folder}: cannot be written ({error.strerror})")
    worker = _WORKER.search(str(error)) if isinstance(error, RuntimeError) else None
    if worker:
        return InputError(
            f"DATALOADER.NUM_WORKERS: worker {worker[1]} {worker[2]}, mostly for lack of memory; "
            f"try fewer workers, or more memory (shared memory for a bus error)"
        )
    return explain(error.__context__, folder)


def _path_of(error: OSError) -> str | None:
    return os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None


@contextlib.contextmanager
def explained(folder: str) -> Iterator[None]:
    """Raises errors of the machine in the words of :func:`explain`, other errors unchanged.

    Raises:
        InputError: a file in ``folder`` cannot be written, or a worker was killed.
    """
    try:
        yield
    except Exception as error:
        line = explain(error, folder)
        if line is None:
            raise
        raise line from error


def check_writable(folder: str) -> None:
    """Makes ``OUTPUT_DIR``; raises InputError unless files can be written there."""
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(bytes(_ROOM))
    except OSError as error:
        reason = error.strerror
        raise InputError(f"OUTPUT_DIR: {folder} cannot be written ({reason})") from error


@contextlib.contextmanager
def whole_files() -> Iterator[None]:
    """Inside the block, each file that Detectron2 writes is complete or does not exist.

    Without this, its evaluators open their results with ``PathManager`` and write them in place.
    Other code that uses ``PathManager`` is not affected.

    Raises:
        InputError: a file that cannot be written.
    """
    writers = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("detectron2.") and name != file_io.__name__
        if vars(module).get("PathManager") is PathManager
    ]
    for module in writers:
        vars(module)["PathManager"] = _WholeFiles()
    try:
        yield
    finally:
        for module in writers:
            vars(module)["PathManager"] = PathManager


class _WholeFiles:
    """Detectron2's ``PathManager``, except that files are opened for writing in a ``with`` only."""

    def __getattr__(self, name: str) -> object:
        return getattr(PathManager, name)

    def open(self, path: str | os.PathLike, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if mode in ("w", "wb") and "://" not in os.fspath(path):
            return _whole(Path(path), mode, *args, **kwargs)
        return PathManager.open(path, mode, *args, **kwargs)


@contextlib.contextmanager
def _whole(path: Path, mode: str, *args: Any, **kwargs: Any) -> Iterator[IO]:
    with replacing_checkpoint(path) as temporary, open(temporary, mode, *args, **kwargs) as file:
        yield file


def end_logs_on_full_disk(logger_name: str) -> None:
    """Lets a command continue, after one warning, when its log file can no longer be written.

    Without this, each message would print a traceback.

    Args:
        logger_name: name of the logger that writes the files.
    """
    for handler in logging.getLogger(logger_name).handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.handleError = functools.partial(_end_log, handler)  # type: ignore[method-assign]


def _end_log(handler: logging.StreamHandler, record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    if not isinstance(error, OSError) or error.errno not in _DISK:
        logging.Handler.handleError(handler, record)
        return
    # Closing the stream writes its buffer to the new target.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, handler.stream.fileno())
    os.close(nowhere)
    print(f"{handler.stream.name}: ends here ({error.strerror})", file=sys.stderr)
