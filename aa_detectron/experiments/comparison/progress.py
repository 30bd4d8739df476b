"""Progress of the trainings of a comparison."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from tqdm import tqdm

from .provenance import finished_steps
from .runs import MAIN, Run


def iterations_done(run: Run) -> int:
    """Number of iterations that the training of a run has logged."""
    path = run.folder / "metrics.json"
    with suppress(LookupError, OSError, RecursionError, TypeError, ValueError):
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 20000))
            lines = file.read().splitlines()
        return int(json.loads(lines[-1])["iteration"]) + 1
    return 0


@contextmanager
def progress(iterations: dict[Run, int], interval: float = 5) -> Iterator[Callable[[str], None]]:
    """Shows the iterations of all trainings and the time left; yields a function to print a line.

    Args:
        iterations: number of iterations of each training.
        interval: seconds between two looks at the folders.
    """
    total = sum(iterations.values())

    def done() -> int:
        return sum(
            n if MAIN in finished_steps(run) else min(n, iterations_done(run))
            for run, n in iterations.items()
        )

    bar = tqdm(total=total, initial=done(), unit="it", desc="training", dynamic_ncols=True)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(interval):
            bar.n = max(bar.n, done())
            bar.refresh()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield partial(bar.write, file=sys.stderr)  # stdout is for the tables
    finally:
        ended.set()
        thread.join()
        bar.n = done()
        bar.close()
