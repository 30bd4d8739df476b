"""mASSC as a Detectron2 evaluator."""

import numpy as np

from aa_detectron.consistency.label_maps import label_pair_record, score_label_pairs
from aa_detectron.data.label_maps import read_label_map
from aa_detectron.errors import InputError

from .pair_evaluator import PairEvaluator


class SemSegConsistencyEvaluator(PairEvaluator):
    """Consistency of the "sem_seg" that a model gives to the crops of shifted pairs.

    The results are ``{"consistency_sem_seg": {...}}``, see
    :func:`~aa_detectron.consistency.label_maps.score_label_pairs`.

    Args:
        ignore_label: count only pixels whose label in the data set is another one; None counts
            all pixels, and needs no labels.
        name, class_names, kwargs: as in the base.

    Raises (on ``process``, with an ``ignore_label``):
        InputError: an image without a label map, or one that cannot be used.
    """

    kind = "sem_seg"

    def __init__(
        self,
        name: str,
        class_names: list[str] | None = None,
        *,
        ignore_label: int | None = None,
        **kwargs,
    ):
        super().__init__(name, class_names, **kwargs)
        self.ignore_label = ignore_label

    def settings(self) -> dict:
        return {"ignore_label": self.ignore_label}

    def compare(self, item: dict, first: dict, second: dict) -> dict | None:
        if "sem_seg" not in first:
            return None
        return label_pair_record(
            item["image_id"],
            item["pair"]["number"],
            item["pair"]["offsets"],
            first["sem_seg"].argmax(dim=0),
            second["sem_seg"].argmax(dim=0),
            None if self.ignore_label is None else self._labelled(item),
        )

    def score(self, records: list[dict]) -> dict:
        return {"consistency_sem_seg": score_label_pairs(records, self.class_names)}

    def _labelled(self, item: dict) -> np.ndarray:
        if "sem_seg_file_name" not in item:
            raise InputError(f"{item['file_name']}: has no label map, so no pixel would count")
        labels = read_label_map(item["sem_seg_file_name"], item["pair"]["image_size"])
        return labels != self.ignore_label
