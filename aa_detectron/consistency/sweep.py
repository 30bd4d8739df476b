"""Sweeps: a fixed crop against crops that move away from it pixel by pixel.

Consistency recovers at shifts by a whole multiple of the network's total stride. Means over random
shifts hide this effect; the curve of a sweep and its phase gap show it. The phase gap is meaningful
only if the model does not resize the crops.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from aa_detectron.errors import InvalidOption, check_choice

from .compare import Rules
from .crops import Compared, Group, Predict, compare_groups, make_groups
from .images import ImageItem, open_images
from .progress import show_progress
from .results import SweepResult
from .shifts import Offset, crop_size, effective_shift

DIRECTIONS = {"diagonal": (1, 1), "x": (0, 1), "y": (1, 0)}
"""Steps (y, x) of a sweep by direction."""


def sweep_offsets(
    height: int, width: int, max_shift: int, stride: int, direction: str = "diagonal"
) -> list[Offset]:
    """Offsets of a sweep's crops, whose size is ``crop_size(height, width, max_shift)``.

    Args:
        height, width: height and width of the image in pixels.
        max_shift: difference S in pixels between the sides of the image and of the crops.
        stride: stride P in pixels; the reference's offset is a multiple of P.
        direction: key of :data:`DIRECTIONS`.

    Returns:
        offset of the reference, S // 2 rounded down to a multiple of P in both directions; then the
        offsets of the crops shifted by 1, 2, ..., S - S // 2 pixels.

    Raises:
        ValueError: no shift is possible (a side below 4 pixels).
    """
    shift = effective_shift(height, width, max_shift)
    if shift < 1:
        raise ValueError(f"{height}x{width} pixels leave no room for a shift")
    start = shift // 2 // stride * stride
    y, x = DIRECTIONS[direction]
    return [(start + t * y, start + t * x) for t in range(shift - shift // 2 + 1)]


class SweepGroups(NamedTuple):
    """The group of a sweep: the reference, and crops shifted by 0, 1, 2, ... pixels."""

    max_shift: int = 64
    stride: int = 32
    direction: str = "diagonal"

    def __call__(self, item: ImageItem, image: np.ndarray) -> Iterator[Group]:
        height, width = image.shape[:2]
        offsets = sweep_offsets(height, width, *self)
        size = crop_size(height, width, self.max_shift)
        yield Group(item, image, size, offsets[0], dict(enumerate(offsets)))


def evaluate_sweep(
    predict: Predict,
    images: Any,
    *,
    max_shift: int = 64,
    stride: int = 32,
    direction: str = "diagonal",
    score_thresh: float = 0.5,
    match_class: bool = True,
    batch_size: int = 1,
    class_names: list[str] | None = None,
    strict: bool = True,
    progress: bool = True,
    **source: Any,
) -> SweepResult:
    """Measures the consistency of a model at every shift.

    Args:
        predict: see :func:`~aa_detectron.consistency.predictors.evaluate_consistency`, also for
            ``images``, ``score_thresh`` and all other arguments without an entry here. The crop at
            shift 0 is predicted twice; a consistency below 100 % means that the model is random.
        max_shift: S in pixels; the longest shift is S - S // 2. Small images have a quarter of the
            shorter side as S if that is less.
        stride: total stride P of the network in pixels, or a divisor of it.
        direction: "diagonal", "x" or "y".

    Returns:
        records, curves and phase gaps.

    Raises:
        InputError: unusable images or predictions.
        InvalidOption: an option with an illegal value.
    """
    check_choice("direction", direction, DIRECTIONS)
    for name, value in (("max_shift", max_shift), ("stride", stride)):
        if value < 1:
            raise InvalidOption(name, value, "an integer from 1")
    options = SweepGroups(max_shift, stride, direction)
    rules = Rules(score_thresh, match_class)
    items = show_progress(open_images(images, **source), progress)
    groups = make_groups(items, options.__call__, strict=strict)
    records = add_every_shift(compare_groups(predict, groups, rules, batch_size))
    settings = {"kind": "sweep", **options._asdict(), **vars(rules)}
    return SweepResult(list(records), settings, class_names, stride)


def add_every_shift(compared: Iterable[Compared]) -> Iterator[dict]:
    """Yields the records; the record of each image's longest shift gets "every_shift"."""
    same: dict[str, np.ndarray] = {}
    right: dict[str, np.ndarray] = {}
    for record, first, second, group in compared:
        shifts = list(group.others)
        if record["pair"] == shifts[0]:
            same, right = {}, {}
        for section, answers in _answers(first, second, group, record["offsets"]).items():
            reference, found, truth = answers
            same[section] = same.get(section, True) & (reference == found)
            if truth is not None:
                right[section] = right.get(section, True) & (truth == found)
            if record["pair"] == shifts[-1]:
                counts = [m[section] for m in (same, right) if section in m]
                sizes = [np.size(same[section]), *(int(np.sum(c)) for c in counts)]
                record[section]["every_shift"] = sizes
        yield record


def _answers(first: dict, second: dict, group: Group, offsets: list[list[int]]) -> dict[str, tuple]:
    """{section: (first, second, truth or None)}: labels of the overlap of all crops, or classes."""
    truth = group.item.truth or {}
    answers = {}
    if "sem_seg" in first:
        last = group.others[max(group.others)]
        ends = [start + side for start, side in zip(group.reference, group.size, strict=True)]

        def common(labels: np.ndarray, origin: Sequence[int] = (0, 0)) -> np.ndarray:
            spans = zip(last, ends, origin, strict=True)
            return labels[tuple(slice(start - o, end - o) for start, end, o in spans)]

        right = common(truth["sem_seg"]) if "sem_seg" in truth else None
        maps = (common(p["sem_seg"], o) for p, o in zip((first, second), offsets, strict=True))
        answers["sem_seg"] = (*maps, right)
    if "logits" in first or "class" in first:
        answers["classification"] = (_label(first), _label(second), truth.get("class"))
    return answers


def _label(prediction: dict) -> np.ndarray:
    if "class" in prediction:
        return np.array(prediction["class"]["label"])
    return np.array(prediction["logits"].argmax())
