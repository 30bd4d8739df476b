"""Conversion of a dataset's label maps to the ids that Detectron2 reads."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from aa_detectron.data.label_maps import write_label_map
from aa_detectron.errors import InputError
from aa_detectron.utils.processes import process_map

logger = logging.getLogger(__name__)


class Conversion(NamedTuple):
    """A label map to convert."""

    source: Path
    target: Path
    read: Callable[[Path], np.ndarray]
    """Function that returns the (H, W) uint8 ids of ``source``."""


def convert_all(conversions: Iterable[Conversion], workers: int = 1) -> int:
    """Converts the label maps whose targets are missing or out of date, with a progress bar.

    Each label map is written whole or not at all, so an interrupted conversion can be run again.

    Args:
        conversions: label maps to convert.
        workers: number of processes.

    Returns:
        The number of new label maps.

    Raises:
        InputError: a file cannot be read or written, and the message names it; or a worker was
            killed.
    """
    missing = [conversion for conversion in conversions if not is_current(conversion)]
    with process_map(workers if missing else 1) as map_all:
        list(tqdm(map_all(convert, missing), total=len(missing), unit="img", disable=not missing))
    return len(missing)


def is_current(conversion: Conversion) -> bool:
    """Whether the target was converted from the current state of the source.

    A target has the time stamp of its source. A target without a source counts as current.
    """
    try:
        times = [p.stat().st_mtime_ns // 1000 for p in (conversion.target, conversion.source)]
    except OSError:
        return conversion.target.is_file()
    return times[0] == times[1]


def warn_of_old_labels(pairs: Iterable[tuple[Path, Path]], remedy: str) -> None:
    """Warns if sources have changed since their label maps were converted.

    Args:
        pairs: source and target of each label map; pairs without a source are skipped.
        remedy: how to convert the label maps again.
    """
    old = []
    for source, target in pairs:
        with contextlib.suppress(OSError):
            if source.stat().st_mtime_ns > target.stat().st_mtime_ns + 1000:
                old.append(target)
    if old:
        count = f"{len(old)} label maps are older than what they were converted from"
        logger.warning(f"{old[0]}: {count}; {remedy}")


def convert(conversion: Conversion) -> None:
    """Converts a label map.

    Raises:
        InputError: a file cannot be read or written. The message names it.
    """
    try:
        changed = conversion.source.stat().st_mtime_ns
        labels = conversion.read(conversion.source)
    except Exception as error:  # SciPy's reader raises many kinds of errors for broken files
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{conversion.source}: holds no label map ({reason})") from None
    write_label_map(conversion.target, labels)
    os.utime(conversion.target, ns=(changed, changed))
