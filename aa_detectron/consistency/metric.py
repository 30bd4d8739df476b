"""A metric with the interface of torchmetrics, which is updated pair by pair."""

from typing import Any

import numpy as np

from aa_detectron.errors import InputError, InvalidOption

from .adapters.predictions import read_prediction
from .adapters.values import to_integers
from .class_names import ClassNames, list_names
from .compare import Rules, compare
from .predictors import in_order
from .results import ConsistencyResult
from .shifts import Offset
from .truth import check_truth, reach


class ConsistencyMetric:
    """Collects the records of pairs that another loop predicts.

    Args:
        score_thresh: minimum score of an instance that counts.
        match_class: whether only instances of the same class can match.
        class_names: names of the classes, for scores per class: a list, or a dict from class
            indices to names; see :func:`~aa_detectron.consistency.class_names.list_names`.

    Raises:
        InvalidOption: an option with an illegal value.
    """

    def __init__(
        self,
        *,
        score_thresh: float = 0.5,
        match_class: bool = True,
        class_names: ClassNames | None = None,
    ):
        self.rules = Rules(score_thresh, match_class)
        self.class_names = list_names(class_names)
        self.reset()

    def reset(self) -> None:
        """Forgets all pairs."""
        self._records: dict[tuple[str, int], dict] = {}

    def update(
        self,
        first: Any,
        second: Any,
        offsets: tuple[Offset, Offset],
        *,
        size: tuple[int, int] | None = None,
        image_id: Any = None,
        pair: int = 0,
        truth: dict | None = None,
    ) -> dict:
        """Adds the outputs for the two crops of a pair.

        Args:
            first, second: outputs of each crop, see
                :mod:`~aa_detectron.consistency.adapters.predictions`.
            offsets: offsets ((y, x), (y, x)) of the two crops in the image.
            size: size (height, width) of both crops in pixels. It is required for boxes and
                classes, and known from masks and label maps. Where nothing is found, the masks may
                lack it.
            image_id: id of the image; None for the number of updates so far, which requires a
                single process and one pair per image.
            pair: number of the pair within the image.
            truth: ground truth of the image, see
                :class:`~aa_detectron.consistency.sources.images.ImageItem`.

        Returns:
            record of the pair.

        Raises:
            InputError: an output or ground truth that cannot be used, an offset or size that is not
                whole, crops that do not overlap, or a pair that was added before.
            InvalidOption: the size is required but missing.
        """
        image_id = len(self._records) if image_id is None else image_id
        frames = to_integers(offsets, (2, 2), "offsets", "((y, x), (y, x))")
        size = _size(first) or _size(second) if size is None else size
        if size is None:
            legal = "(height, width) of the crops, where neither masks nor label maps tell it"
            raise InvalidOption("size", size, legal)
        size = to_integers(size, (2,), "size", "(height, width)")
        check_truth(truth, reach(frames, size), image_id, exact=False)
        one, two = (read_prediction(o, size, self.rules.score_thresh) for o in (first, second))
        record = compare(image_id, pair, frames, size, one, two, self.rules, truth)
        self._add(record)
        return record

    def compute(self) -> ConsistencyResult:
        """Computes the scores of all pairs so far.

        Raises:
            InputError: no pair was added.
        """
        if not self._records:
            raise InputError("the metric has no pairs: call update first")
        settings = {"kind": "pairs", **vars(self.rules)}
        records = in_order([dict(record) for record in self._records.values()])
        return ConsistencyResult(records, settings, self.class_names)

    def merge(self, other: "ConsistencyMetric") -> None:
        """Adds the pairs of another metric, for example from another process.

        A pair with the same record counts once, since samplers repeat pairs to fill a batch.

        Raises:
            InputError: the other metric has other rules, or a different record of the same pair.
        """
        if other.rules != self.rules:
            raise InputError(f"metrics of {other.rules} and {self.rules} cannot be merged")
        for record in other._records.values():
            self._add(record, repeated=True)

    def _add(self, record: dict, repeated: bool = False) -> None:
        key = str(record["image_id"]), record["pair"]
        if key in self._records and not (repeated and self._records[key] == record):
            raise InputError(f"pair {key[1]} of image {key[0]!r} is there already")
        self._records[key] = record


def _size(output: Any) -> tuple[int, int] | None:
    """Size (height, width) of an output's masks or label map, None without them."""
    if hasattr(output, "shape"):
        shape = tuple(output.shape)
        is_logits = len(shape) == 2 and shape[0] == 1 and "float" in str(output.dtype)
        return None if len(shape) < 2 or is_logits else shape[-2:]
    try:
        image_size = output["instances"].image_size
    except (AttributeError, LookupError, TypeError):
        image_size = None
    if image_size is not None:
        return tuple(image_size)
    for key in ("sem_seg", "out", "masks", "segmentation"):
        value: Any = output.get(key) if hasattr(output, "get") else None
        if isinstance(value, list) and value and isinstance(value[0], dict):
            size = value[0].get("size")
            return None if size is None else tuple(np.ravel(size))
        if hasattr(value, "shape") and len(value.shape) >= 2:
            return tuple(value.shape[-2:])  # an array of no masks may have a single axis
    return None
