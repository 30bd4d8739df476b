"""A bar of progress over the images."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def show_progress(items: Iterable[T], shown: bool) -> Iterator[T]:
    """The items, with a bar on the standard error where that is a terminal."""
    yield from tqdm(items, unit="image", disable=None if shown else True)
