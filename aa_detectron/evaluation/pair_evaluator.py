"""Detectron2's evaluators of consistency: pairs in, records gathered, scores and a file out."""

import itertools
import logging
import os

import numpy as np
import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from detectron2.utils import comm
from tabulate import tabulate

from aa_detectron.consistency.classes import class_pair_record, score_class_pairs
from aa_detectron.consistency.curves import drop_curve
from aa_detectron.consistency.instances import Prediction, pair_record, score_pairs
from aa_detectron.consistency.label_maps import label_pair_record, score_label_pairs
from aa_detectron.data.label_maps import read_label_map
from aa_detectron.errors import InputError
from aa_detectron.utils.files import name_stem, write_json


class PairEvaluator(DatasetEvaluator):
    """Base of the evaluators of shifted pairs.

    They take any model, fed by
    :func:`aa_detectron.data.pairs.build_shifted_pair_loader`. Outputs that lack what is
    to be compared are passed over: without any other, there are no results.

    Args:
        name: name of the data set or folder, for the name of the file and the log.
        class_names: names of the classes, for scores per class.
        output_dir: folder of :func:`records_path`, with the record of every pair; None for no file.
        distributed: gather the records of all processes.
    """

    kind: str
    """What is compared; for the name of the file."""

    def __init__(
        self,
        name: str,
        class_names: list[str] | None = None,
        *,
        output_dir: str | None = None,
        distributed: bool = True,
    ):
        self.name = name
        self.class_names = class_names
        self.output_dir = output_dir
        self.distributed = distributed
        self.reset()

    def compare(self, item: dict, first: dict, second: dict) -> dict | None:
        """The record of a pair, see :mod:`~aa_detectron.consistency.records`.

        Args:
            item: the first crop's input.
            first, second: the outputs for the two crops.

        Returns:
            None where they lack what is to be compared.
        """
        raise NotImplementedError

    def score(self, records: list[dict]) -> dict:
        """{task: {metric: number}} from the records of all pairs, one or more."""
        raise NotImplementedError

    def settings(self) -> dict:
        """What else determines the records; for the file."""
        return {}

    def extras(self, records: list[dict]) -> dict:
        """What else the file has, computed from the records of all pairs."""
        return {}

    def reset(self):
        self.records = []

    def process(self, inputs: list[dict], outputs: list[dict]):
        """Takes the crops of whole pairs, first, second, first, second, ..."""
        crops = list(zip(inputs, outputs, strict=True))
        for (item, first), (other, second) in zip(crops[::2], crops[1::2], strict=True):
            assert item["pair"]["first"] and not other["pair"]["first"], "crops out of order"
            record = self.compare(item, first, second)
            if record is not None:
                self.records.append(record)

    def evaluate(self) -> dict | None:
        records = self.records
        if self.distributed:
            comm.synchronize()
            records = list(itertools.chain.from_iterable(comm.gather(records, dst=0)))
            if not comm.is_main_process():
                return None
        if not records:
            return {}
        records.sort(key=lambda r: (str(r["image_id"]), r["pair"]))
        results = self.score(records)
        if self.output_dir:
            report = {
                "name": self.name,
                **self.settings(),
                "class_names": self.class_names,
                "results": results,
                "pairs": records,
                **self.extras(records),
            }
            write_json(records_path(self.output_dir, self.kind, self.name), report)
        self._log(results)
        return results

    def _log(self, results: dict):
        logger = logging.getLogger(__name__)
        for task, scores in results.items():
            shown = {k: v for k, v in scores.items() if "-" not in k}
            table = tabulate([shown.values()], shown.keys(), "pipe", floatfmt=".2f")
            logger.info(f"{task} of {self.name} (percent; low, high: 95 % interval):\n{table}")


def records_path(folder: str, kind: str, name: str) -> str:
    """Where an evaluator keeps its records of a data set or folder of images."""
    return os.path.join(folder, f"consistency_{kind}_{name_stem(name)}.json")


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
        crops = [output["instances"] for output in (first, second)]
        return pair_record(
            item["image_id"],
            item["pair"]["number"],
            item["pair"]["offsets"],
            crops[0].image_size,
            *(as_prediction(crop, self.score_thresh) for crop in crops),
            **self.settings(),
        )

    def score(self, records: list[dict]) -> dict:
        tasks = [t for t in ("bbox", "segm") if any(t in r for r in records)]
        for record, task in itertools.product(records, tasks):
            record.setdefault(task, {"first": [], "second": []})  # no instance, hence no masks
        return {f"consistency_{t}": score_pairs(records, t, self.class_names) for t in tasks}


def as_prediction(instances: Instances, score_thresh: float) -> Prediction:
    """Arrays of the instances that count, so that no other masks leave the device."""
    index = torch.nonzero(instances.scores >= score_thresh).flatten()
    kept = instances[index]
    tensors = {
        "index": index,
        "boxes": kept.pred_boxes.tensor,
        "scores": kept.scores,
        "classes": kept.pred_classes,
    }
    if kept.has("pred_masks"):
        tensors["masks"] = kept.pred_masks
    return {key: tensor.detach().cpu().numpy() for key, tensor in tensors.items()}


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
            *(output["sem_seg"].argmax(dim=0).cpu().numpy() for output in (first, second)),
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
    :func:`~aa_detectron.consistency.classes.score_class_pairs`. The file has the drop curve, too.

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
            *(output["logits"].detach().float().cpu().numpy() for output in (first, second)),
            item.get("category_id"),
        )

    def score(self, records: list[dict]) -> dict:
        return {"consistency_classification": score_class_pairs(records)}

    def extras(self, records: list[dict]) -> dict:
        return {"drop_curve": drop_curve(records, self.kind)}
