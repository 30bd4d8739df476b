"""Masks in COCO's run-length encoding: a check before pycocotools' C code reads them, and cutting.

pycocotools' ``maskApi.c`` describes the encoding: alternating runs of zeros and ones along the
columns, zeros first, as a list of numbers or as a string.
"""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

MAX_DIGITS = 7
"""Maximum characters of a run in a string, 5 bits each; a run in an image needs at most 32 bits."""


def rle_problem(rle: Mapping, height: int, width: int) -> str | None:
    """Checks a mask in run-length encoding.

    Args:
        rle: {"size": [height, width], "counts": runs as a list, a string or bytes}.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        the problem, in words that follow the mask's name; None if pycocotools can decode it.
    """
    size: Any = rle.get("size")
    counts = rle.get("counts")
    try:
        is_right = [operator.index(side) for side in size] == [height, width]
    except TypeError:
        is_right = False
    if not is_right:
        return f"has size {_short(size)}, but must have [{height}, {width}], the image's"
    if isinstance(counts, str | bytes):
        runs = decode_runs(counts)
    elif isinstance(counts, list) and set(map(type, counts)) <= {int}:
        runs = np.array(counts, object)
    else:
        runs = None
    if runs is None or len(runs) == 0:
        return f"has counts {_short(counts)}, but must have a list of integers or COCO's string"
    least = runs.min()
    if least < 0:
        return f"has a run of {_short(least)} pixels, but runs must be at least 0"
    total = runs.sum()
    if total != height * width:
        return f"has runs of {_short(total)} pixels in all, but the image has {height * width}"
    return None


def decode_runs(text: str | bytes) -> np.ndarray | None:
    """Decodes the runs in a string to (N,) int64; None for a string that is no encoding.

    Each number is split into groups of 5 bits, the lowest first; a sixth bit says that another
    group follows. From the fourth run on, a number is the difference from the run two before.
    """
    try:
        content = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError:
        return None
    digits = np.frombuffer(content, np.uint8).astype(np.int64) - 48
    if len(digits) == 0 or digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
        return None
    ends = np.flatnonzero((digits & 32) == 0)
    begins = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - begins + 1
    if lengths.max() > MAX_DIGITS:
        return None
    place = np.arange(len(digits)) - np.repeat(begins, lengths)
    numbers = np.add.reduceat((digits & 31) << 5 * place, begins)
    numbers -= np.where(digits[ends] & 16, np.int64(1) << 5 * lengths, 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def _short(value: object) -> str:
    text = repr(int(value)) if isinstance(value, np.integer) else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def compressed(rle: Mapping) -> dict:
    """Encodes the runs of a mask as a string, the only form that most of pycocotools reads.

    Args:
        rle: mask that has no :func:`rle_problem`.
    """
    if not isinstance(rle["counts"], list):
        return dict(rle)
    height, width = map(int, rle["size"])
    return mask_util.frPyObjects({"size": [height, width], "counts": rle["counts"]}, height, width)


def cut_rle(rle: Mapping, rows: slice, columns: slice) -> dict:
    """Cuts a mask without decoding its pixels.

    Args:
        rle: mask that has no :func:`rle_problem`.
        rows, columns: part of the mask, with start and stop, not empty.

    Returns:
        COCO RLE as pycocotools encodes the cut pixels.
    """
    height = int(rle["size"][0])
    counts = rle["counts"]
    runs = np.array(counts, np.int64) if isinstance(counts, list) else decode_runs(counts)
    assert runs is not None  # rle_problem has accepted the string
    ends = np.cumsum(runs)
    starts, ends = ends[0:-1:2], ends[1::2]
    starts = np.maximum(starts, columns.start * height)
    ends = np.minimum(ends, columns.stop * height)
    column, top, bottom = _by_column(starts[ends > starts], ends[ends > starts], height)
    top, bottom = np.maximum(top, rows.start), np.minimum(bottom, rows.stop)
    seen = bottom > top
    size = rows.stop - rows.start, columns.stop - columns.start
    origin = (column[seen] - columns.start) * size[0] - rows.start
    return _from_intervals(origin + top[seen], origin + bottom[seen], size)


def _by_column(
    starts: np.ndarray, ends: np.ndarray, height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Splits runs of ones at the ends of columns: column, first row and end row of each piece."""
    first = starts // height
    pieces = (ends - 1) // height - first + 1
    run = np.repeat(np.arange(len(starts)), pieces)
    column = first[run] + np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    top = np.maximum(starts[run] - column * height, 0)
    return column, top, np.minimum(ends[run] - column * height, height)


def _from_intervals(starts: np.ndarray, ends: np.ndarray, size: tuple[int, int]) -> dict:
    """COCO RLE of ordered intervals of ones along the columns."""
    apart = starts[1:] != ends[:-1]
    starts = starts[np.concatenate([[True], apart])] if len(starts) else starts
    ends = ends[np.concatenate([apart, [True]])] if len(ends) else ends
    edges = np.stack([starts, ends], axis=1).ravel()
    counts = np.diff(edges, prepend=0, append=size[0] * size[1]).tolist()
    runs = counts if len(counts) == 1 or counts[-1] else counts[:-1]
    return mask_util.frPyObjects({"size": list(size), "counts": runs}, *size)
