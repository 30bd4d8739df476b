"""Free memory goes back to the operating system during long evaluations.

On a CPU, oneDNN keeps small objects for every new shape of a layer's input, and the number of
instances in an image is one of these shapes. The objects lie between feature maps. When glibc frees
the feature maps, it keeps the memory between the objects, where larger feature maps find no place.
A process can so grow by gigabytes of memory that nothing uses.
"""

import ctypes
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Batch = TypeVar("Batch", covariant=True)

EVERY = 50
"""Number of items between two returns; a return takes some 10 ms, with the memory's next use."""


def return_free_memory() -> None:
    """Returns free memory to the operating system. It does nothing without glibc."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return
    trim(0)


def returning_memory(items: Iterable[Item]) -> Iterator[Item]:
    """Yields the items and returns free memory after every :data:`EVERY` items."""
    for number, item in enumerate(items, 1):
        yield item
        if number % EVERY == 0:
            return_free_memory()


class Batches(Protocol[Batch]):
    """Anything with a length that can be iterated over."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


class MemoryReturningLoader(Generic[Item]):
    """A loader with :func:`returning_memory`.

    Args:
        loader: loader of batches.
    """

    def __init__(self, loader: Batches[Item]):
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Item]:
        return returning_memory(self.loader)
