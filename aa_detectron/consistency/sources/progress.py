"""A progress bar over the images."""

from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm


def show_progress(items: Iterable[Any], shown: bool) -> Iterator[Any]:
    """Yields the items, with a progress bar on standard error if that is a terminal."""
    yield from tqdm(items, unit="image", disable=None if shown else True)
