"""mAISC as a Detectron2 evaluator."""

import itertools

from aa_detectron.consistency.instances import pair_record, score_pairs

from .pair_evaluator import PairEvaluator


class InstanceConsistencyEvaluator(PairEvaluator):
    """Consistency of the "instances" that a model finds in the crops of shifted pairs.

    The results are ``{"consistency_bbox": {...}, "consistency_segm": {...}}``, see
    :func:`~aa_detectron.consistency.instances.score_pairs`; the second is missing for a model
    without masks.

    Args:
        score_thresh: instances with a lower score do not count.
        match_class: only instances of the same class can match.
        name, class_names, kwargs: as in the base.
    """

    kind = "instances"

    def __init__(
        self,
        name: str,
        class_names: list[str] | None = None,
        *,
        score_thresh: float = 0.5,
        match_class: bool = True,
        **kwargs,
    ):
        super().__init__(name, class_names, **kwargs)
        self.score_thresh = score_thresh
        self.match_class = match_class

    def settings(self) -> dict:
        return {"score_thresh": self.score_thresh, "match_class": self.match_class}

    def compare(self, item: dict, first: dict, second: dict) -> dict | None:
        if "instances" not in first:
            return None
        return pair_record(
            item["image_id"],
            item["pair"]["number"],
            item["pair"]["offsets"],
            first["instances"],
            second["instances"],
            **self.settings(),
        )

    def score(self, records: list[dict]) -> dict:
        tasks = [t for t in ("bbox", "segm") if any(t in r for r in records)]
        for record, task in itertools.product(records, tasks):
            record.setdefault(task, {"first": [], "second": []})  # no instance, hence no masks
        return {f"consistency_{t}": score_pairs(records, t, self.class_names) for t in tasks}
