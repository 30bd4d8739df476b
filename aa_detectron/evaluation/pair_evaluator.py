"""Evaluators of consistency for Detectron2: from pairs to records, scores and a file."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances

from aa_detectron.consistency.classes import class_pair_record, score_class_pairs
from aa_detectron.consistency.compare import Rules
from aa_detectron.consistency.curves import drop_curve
from aa_detectron.consistency.instances import pair_record, score_pairs
from aa_detectron.consistency.label_maps import label_pair_record, score_label_pairs
from aa_detectron.consistency.overlap import Prediction
from aa_detectron.consistency.scores import fill_tasks
from aa_detectron.data.label_maps import read_label_map
from aa_detectron.errors import InputError
from aa_detectron.utils.files import name_stem, write_json

from .gathering import gather_records, log_scores
from .inputs import check_inputs
from .object_truth import Truth, no_truth

logger = logging.getLogger(__name__)

LOADER = "aa_detectron.data.pairs.build_shifted_pair_loader(cfg, name)"


class PairEvaluator(DatasetEvaluator):
    """Base of the evaluators of shifted pairs.

    They evaluate any model on :func:`aa_detectron.data.pairs.build_shifted_pair_loader`. Outputs
    without the compared kind are skipped. If all outputs are skipped, the results are empty.

    Args:
        name: name of the dataset or folder, for the name of the file and the log.
        class_names: names of the classes, for scores per class.
        output_dir: folder of :func:`records_path`, with the record of every pair; None for no file.
        pair_settings: settings of the pairs, such as their maximum shift, for the file.
        distributed: whether to gather the records of all processes.
    """

    kind: str
    """Kind of output that is compared, for the name of the file."""

    def __init__(
        self,
        name: str,
        class_names: list[str] | None = None,
        *,
        output_dir: str | None = None,
        pair_settings: Mapping[str, Any] | None = None,
        distributed: bool = True,
    ):
        self.name = name
        self.pair_settings = dict(pair_settings or {})
        self.class_names = class_names
        self.output_dir = output_dir
        self.distributed = distributed
        self.reset()

    def compare(self, item: dict, first: dict, second: dict) -> dict | None:
        """The record of a pair, see :mod:`~aa_detectron.consistency.records`.

        Args:
            item: input for the first crop.
            first: output for the first crop.
            second: output for the second crop.

        Returns:
            None if the outputs do not have the compared kind.
        """
        raise NotImplementedError

    def score(self, records: list[dict]) -> dict:
        """{task: {metric: number}} from the records of all pairs, one or more."""
        raise NotImplementedError

    def settings(self) -> dict:
        """Settings that determine the records, for the file."""
        return {}

    def extras(self, records: list[dict]) -> dict:
        """Additional entries of the file, computed from the records of all pairs."""
        return {}

    def reset(self) -> None:
        self.records: list[dict] = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Compares the crops of whole pairs: first, second, first, second, ...

        Raises:
            InputError: the inputs are no crops of pairs, but come from another loader.
        """
        check_inputs(self, inputs, "pair", LOADER)
        crops = list(zip(inputs, outputs, strict=True))
        for (item, first), (other, second) in zip(crops[::2], crops[1::2], strict=True):
            assert item["pair"]["first"] and not other["pair"]["first"], "crops out of order"
            record = self.compare(item, first, second)
            if record is not None:
                self.records.append(record)

    def evaluate(self) -> dict | None:
        records = gather_records(self.records, self.distributed)
        if records is None:
            return None
        if not records:
            return {}
        records.sort(key=lambda r: (str(r["image_id"]), r["pair"]))
        results = self.score(records)
        if self.output_dir:
            report = {
                "name": self.name,
                **self.pair_settings,
                **self.settings(),
                "class_names": self.class_names,
                "results": results,
                "pairs": records,
                **self.extras(records),
            }
            write_json(records_path(self.output_dir, self.kind, self.name), report)
        for task, scores in results.items():
            shown = {k: v for k, v in scores.items() if "-" not in k}  # no scores per class
            log_scores(logger, f"{task} of {self.name} (percent; low, high: 95 % interval)", shown)
        return results


def records_path(folder: str, kind: str, name: str) -> str:
    """Path of the file with an evaluator's records for a dataset or folder of images."""
    return os.path.join(folder, f"consistency_{kind}_{name_stem(name)}.json")


class InstanceConsistencyEvaluator(PairEvaluator):
    """Consistency of the "instances" that a model finds in the crops of shifted pairs.

    The results are ``{"consistency_bbox": {...}, "consistency_segm": {...}}``, see
    :func:`~aa_detectron.consistency.instances.score_pairs`. A model without masks has no
    "consistency_segm".

    Args:
        score_thresh: least score of the instances that count.
        match_class: whether only instances of the same class can match.
        truth: objects of an image by its id, for "consistent and correct", see
            :mod:`~aa_detectron.consistency.correct`.
        name, class_names, kwargs: see :class:`PairEvaluator`.

    Raises:
        InvalidOption: ``score_thresh`` is NaN.
    """

    kind = "instances"

    def __init__(
        self,
        name: str,
        class_names: list[str] | None = None,
        *,
        score_thresh: float = 0.5,
        match_class: bool = True,
        truth: Truth = no_truth,
        **kwargs: Any,
    ):
        super().__init__(name, class_names, **kwargs)
        Rules(score_thresh, match_class)  # rejects NaN
        self.truth = truth
        self.score_thresh = score_thresh
        self.match_class = match_class

    def settings(self) -> dict:
        return {"score_thresh": self.score_thresh, "match_class": self.match_class}

    def compare(self, item: dict, first: dict, second: dict) -> dict | None:
        if "instances" not in first:
            return None
        one, other = first["instances"], second["instances"]
        predictions = [as_prediction(found, self.score_thresh) for found in (one, other)]
        place = item["image_id"], item["pair"]["number"], item["pair"]["offsets"]
        options = {**self.settings(), "truth": self.truth(item["image_id"])}
        return pair_record(*place, one.image_size, *predictions, **options)

    def score(self, records: list[dict]) -> dict:
        tasks = fill_tasks(records)
        return {f"consistency_{t}": score_pairs(records, t, self.class_names) for t in tasks}


def as_prediction(instances: Instances, score_thresh: float) -> Prediction:
    """Arrays of the instances that count; the masks of other instances stay on the device."""
    index = torch.nonzero(instances.scores >= score_thresh).flatten()
    kept = instances[index]
    prediction = Prediction(
        index=_as_array(index),
        boxes=_as_array(kept.pred_boxes.tensor),
        scores=_as_array(kept.scores),
        classes=_as_array(kept.pred_classes),
    )
    if kept.has("pred_masks"):
        prediction["masks"] = _as_array(kept.pred_masks)
    return prediction


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


class SemSegConsistencyEvaluator(PairEvaluator):
    """Consistency of the "sem_seg" that a model gives to the crops of shifted pairs.

    The results are ``{"consistency_sem_seg": {...}}``, see
    :func:`~aa_detectron.consistency.label_maps.score_label_pairs`.

    Args:
        ignore_label: label, in the dataset's label maps, of pixels that do not count; None counts
            all pixels and needs no label maps.
        name, class_names, kwargs: see :class:`PairEvaluator`.

    Raises (in ``process``, with an ``ignore_label``):
        InputError: an image has no label map, or its label map cannot be used.
    """

    kind = "sem_seg"

    def __init__(
        self,
        name: str,
        class_names: list[str] | None = None,
        *,
        ignore_label: int | None = None,
        **kwargs: Any,
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
            _as_array(first["sem_seg"].argmax(dim=0)),
            _as_array(second["sem_seg"].argmax(dim=0)),
            None if self.ignore_label is None else self._labeled(item),
        )

    def score(self, records: list[dict]) -> dict:
        return {"consistency_sem_seg": score_label_pairs(records, self.class_names)}

    def _labeled(self, item: dict) -> np.ndarray:
        if "sem_seg_file_name" not in item:
            raise InputError(f"{item['file_name']}: has no label map, so no pixel would count")
        labels = read_label_map(item["sem_seg_file_name"], item["pair"]["image_size"])
        return labels != self.ignore_label


class ClassificationConsistencyEvaluator(PairEvaluator):
    """Consistency of the "logits" that a model gives to the crops of shifted pairs.

    The results are ``{"consistency_classification": {...}}``, see
    :func:`~aa_detectron.consistency.classes.score_class_pairs`. The file also has the drop curve.

    Args:
        args, kwargs: see :class:`PairEvaluator`.
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
            _as_array(first["logits"].float()),
            _as_array(second["logits"].float()),
            item.get("category_id"),
        )

    def score(self, records: list[dict]) -> dict:
        return {"consistency_classification": score_class_pairs(records)}

    def extras(self, records: list[dict]) -> dict:
        return {"drop_curve": drop_curve(records, self.kind)}
