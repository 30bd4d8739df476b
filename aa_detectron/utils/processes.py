"""A map over several processes."""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from aa_detectron.errors import InputError


@contextlib.contextmanager
def process_map(workers: int) -> Iterator[Callable]:
    """Yields a lazy, ordered ``map``: the built-in one, or one over several processes.

    The parent process handles interrupts. Workers end with the block, or with the parent.

    Args:
        workers: number of processes; 1 for no other process.

    Raises:
        InputError: a worker was killed.
    """
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, initializer=_start_worker) as pool:
        try:
            yield functools.partial(pool.map, chunksize=8)
        except BrokenProcessPool:
            message = "a worker process was killed, mostly for lack of memory; try fewer workers"
            raise InputError(message) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
