"""Reserves an output folder for one training."""

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from detectron2.utils import comm

from aa_detectron.errors import InputError

logger = logging.getLogger(__name__)

_LEFT_OVER = re.compile(r"\..+\.pth\.[0-9a-f]{8}")
"""Temporary files of :func:`~aa_detectron.checkpoint.writing.replacing_checkpoint`, which a killed
process leaves behind."""
_held: dict[tuple[int, int], int] = {}
"""Folders that this process holds: {(device, inode): descriptor}."""


def _release_in_child() -> None:
    """A worker of a data loader may outlive a killed training, and must not hold its folder."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_release_in_child)


@contextlib.contextmanager
def only_training_in(folder: str | Path) -> Iterator[None]:
    """Keeps other trainings out of a folder, until the block or the process ends.

    The folder itself is locked, so no file is left behind. Where the file system has no locks, a
    warning says so. Blocks may be nested within a process. Temporary files of a killed training
    are removed. Of the processes of a training, the main process does this, if the folder exists.

    Raises:
        InputError: another process trains there.
    """
    if not comm.is_main_process() or not os.path.isdir(folder):
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        status = os.fstat(descriptor)
        identity = (status.st_dev, status.st_ino)
        if identity in _held:
            yield
            return
        if _lock(descriptor, folder):
            _remove_left_over(Path(folder))
        _held[identity] = descriptor
        try:
            yield
        finally:
            del _held[identity]
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: str | Path) -> bool:
    """Locks the folder; returns False if its file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"OUTPUT_DIR: another training is running in {folder}") from None
    except OSError as error:
        logger.warning(f"{folder} cannot be locked ({error.strerror}): train once in it at a time")
        return False
    return True


def _remove_left_over(folder: Path) -> None:
    for path in folder.iterdir():
        if _LEFT_OVER.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()
