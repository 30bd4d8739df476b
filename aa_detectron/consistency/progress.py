"""A bar of progress over the images."""

from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm


def show_progress(items: Iterable[Any], shown: bool) -> Iterator[Any]:
    """The items, with a bar on the standard error where that is a terminal."""
    yield from tqdm(items, unit="image", disable=None if shown else True)
