"""Only one process at a time works on a run; .lock in the run's folder holds its process ID."""

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from aa_detectron.errors import InputError

from .runs import Run


@contextmanager
def locked(
    run: Run, say: Callable[[str], None], stopped: threading.Event | None = None
) -> Iterator[TextIO]:
    """Holds the lock of a run; yields the lock's file for the child that does the work.

    The lock lasts as long as any process has the file open. A child that survives the SIGKILL of
    its parent finishes its step; the next process waits for it.

    Args:
        run: run to lock.
        say: function that prints a line.
        stopped: event that ends the waiting.

    Raises:
        InputError: the file system of the folder has no locks.
        KeyboardInterrupt: ``stopped`` was set while waiting.
    """
    stopped = stopped or threading.Event()
    run.folder.mkdir(parents=True, exist_ok=True)
    with open(run.folder / ".lock", "a+") as file:
        if not _acquired(file):
            file.seek(0)
            say(f"{run.name}: waiting for process {file.read().strip()}, which works on it")
            while not _acquired(file):
                if stopped.wait(0.5):
                    raise KeyboardInterrupt
        yield file


def _acquired(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise InputError(f"{file.name}: cannot be locked ({error.strerror})") from error
    return True
