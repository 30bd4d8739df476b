"""Free memory goes back to the operating system during long evaluations.

On a CPU, oneDNN keeps small objects for every new shape of a layer's input, and the number of
instances in an image is one of these shapes. glibc does not return the freed memory between such
objects by itself, and larger feature maps do not fit there. A process can grow by gigabytes of
memory that nothing uses; docs/performance.md has measurements.
"""

import ctypes
import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

GROWTH = 256 * 2**20
"""Growth of the process, in bytes, after which free memory is returned.

A return takes up to a quarter of a second, with the next use of the memory.
"""


def return_free_memory() -> None:
    """Returns free memory to the operating system. It does nothing without glibc."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return
    trim(0)


def resident_memory() -> int:
    """Resident set of this process in bytes; 0 where there is no ``/proc``."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * mmap.PAGESIZE


def returning_memory(items: Iterable[Any]) -> Iterator[Any]:
    """Yields the items, and returns free memory whenever the process has grown by :data:`GROWTH`.

    The growth counts from the end of the first item after a return, because every item needs some
    memory again.
    """
    start = None
    for item in items:
        yield item
        resident = resident_memory()
        start = resident if start is None else start
        if resident - start > GROWTH:
            return_free_memory()
            start = None


class MemoryReturningLoader:
    """A loader with :func:`returning_memory`.

    Args:
        loader: loader of batches, with a length.
    """

    def __init__(self, loader: Any):
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        return returning_memory(self.loader)
