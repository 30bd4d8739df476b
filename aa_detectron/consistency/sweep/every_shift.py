"""The fraction of an image with the same answer under every shift of a sweep."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..crops import Compared
from ..truth import counted_pixels


def add_every_shift(compared: Iterable[Compared]) -> Iterator[dict]:
    """Yields the records; the record of each image's longest shift gets "every_shift"."""
    same: dict[str, np.ndarray] = {}
    right: dict[str, np.ndarray] = {}
    for found in compared:
        record, shifts = found.record, list(found.group.others)
        if record["pair"] == shifts[0]:
            same, right = {}, {}
        for section, (reference, answer, truth) in _answers(found).items():
            same[section] = same.get(section, True) & (reference == answer)
            if truth is not None:
                right[section] = right.get(section, True) & (truth == answer)
            if record["pair"] == shifts[-1]:
                counts = [m[section] for m in (same, right) if section in m]
                sizes = [np.size(same[section]), *(int(np.sum(c)) for c in counts)]
                record[section]["every_shift"] = sizes
        yield record


def _answers(found: Compared) -> dict[str, tuple]:
    """{section: (first, second, truth or None)}: labels of the overlap of all crops, or classes."""
    first, second, group = found.first, found.second, found.group
    truth = group.item.truth or {}
    answers = {}
    if "sem_seg" in first:
        last = group.kind.frame(group.others[max(group.others)], group.reference)
        sides = group.kind.frame_size(group.size)
        ends = [start + side for start, side in zip(found.frames[0], sides, strict=True)]

        def common(labels: np.ndarray, origin: Sequence[int] = (0, 0)) -> np.ndarray:
            spans = zip(last, ends, origin, strict=True)
            return labels[tuple(slice(start - o, end - o) for start, end, o in spans)]

        maps = [common(p["sem_seg"], o) for p, o in zip((first, second), found.frames, strict=True)]
        counted = counted_pixels(truth)
        counts = slice(None) if counted is None else common(counted)
        right = common(np.asarray(truth["sem_seg"]))[counts] if "sem_seg" in truth else None
        answers["sem_seg"] = (*(labels[counts] for labels in maps), right)
    if "logits" in first or "class" in first:
        answers["classification"] = (_label(first), _label(second), truth.get("class"))
    return answers


def _label(prediction: dict) -> np.ndarray:
    if "class" in prediction:
        return np.array(prediction["class"]["label"])
    return np.array(prediction["logits"].argmax())
