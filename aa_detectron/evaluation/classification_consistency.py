"""Consistency of classification as a Detectron2 evaluator."""

import os

from aa_detectron.consistency.classes import class_pair_record, score_class_pairs
from aa_detectron.consistency.curves import drop_curve, plot_drop_curves

from .pair_evaluator import PairEvaluator


class ClassificationConsistencyEvaluator(PairEvaluator):
    """Consistency of the "logits" that a model gives to the crops of shifted pairs.

    The results are ``{"consistency_classification": {...}}``, see
    :func:`~aa_detectron.consistency.classes.score_class_pairs`. The file has the drop curve,
    too, and its plot lies beside it, as PNG.

    Args:
        args, kwargs: as in the base.
    """

    kind = "classification"

    def compare(self, item: dict, first: dict, second: dict) -> dict | None:
        if "logits" not in first:
            return None
        return class_pair_record(
            item["image_id"],
            item["pair"]["number"],
            item["pair"]["offsets"],
            (item["height"], item["width"]),
            first["logits"],
            second["logits"],
            item.get("category_id"),
        )

    def score(self, records: list[dict]) -> dict:
        return {"consistency_classification": score_class_pairs(records)}

    def write(self, path: str, report: dict) -> None:
        curve = drop_curve(report["pairs"], self.kind)
        super().write(path, report | {"drop_curve": curve})
        plot_drop_curves({self.name: {self.kind: curve}}, os.path.splitext(path)[0] + ".png")
