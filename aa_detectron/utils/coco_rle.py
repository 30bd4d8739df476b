"""Check of masks in COCO's run-length encoding before pycocotools' C code reads them.

pycocotools' ``maskApi.c`` describes the encoding: alternating runs of zeros and ones along the
columns, zeros first, as a list of numbers or as a string.
"""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

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
    if min(runs) < 0:
        return f"has a run of {_short(min(runs))} pixels, but runs must be at least 0"
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
