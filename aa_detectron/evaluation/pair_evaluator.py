"""Evaluators of consistency for Detectron2: from pairs to records, scores and a file."""

import logging
import os
from collections.abc import Mapping
from typing import Any

from detectron2.evaluation import DatasetEvaluator

from aa_detectron.consistency.class_names import ClassNames, list_names
from aa_detectron.consistency.compare import Rules, compare
from aa_detectron.consistency.curves import drop_curve
from aa_detectron.consistency.scores import score_records
from aa_detectron.data.label_maps import read_label_map
from aa_detectron.errors import InputError
from aa_detectron.utils.files import name_stem, write_json

from .gathering import gather_records, log_scores
from .inputs import check_inputs, naming, read_output
from .object_truth import Truth, no_truth

logger = logging.getLogger(__name__)

LOADER = "aa_detectron.data.pairs.build_shifted_pair_loader(cfg, name)"


class PairEvaluator(DatasetEvaluator):
    """Base of the evaluators of shifted pairs.

    They evaluate any model on :func:`aa_detectron.data.pairs.build_shifted_pair_loader`. Outputs
    are read and compared as in
    :func:`~aa_detectron.consistency.predictors.evaluate_consistency`. Outputs without the compared
    kind are skipped. If all outputs are skipped, the results are empty.

    Args:
        name: name of the dataset or folder, for the name of the file and the log.
        class_names: names of the classes, for scores per class; see
            :func:`~aa_detectron.consistency.class_names.list_names`.
        output_dir: folder of :func:`records_path`, with the record of every pair; None for no file.
        pair_settings: settings of the pairs, such as their maximum shift, for the file.
        distributed: whether to gather the records of all processes.
    """

    kind: str
    """Kind of output that is compared, for the name of the file."""
    output: str
    """Key of the compared output in the model's outputs."""

    def __init__(
        self,
        name: str,
        class_names: ClassNames | None = None,
        *,
        output_dir: str | None = None,
        pair_settings: Mapping[str, Any] | None = None,
        distributed: bool = True,
    ):
        self.name = name
        self.pair_settings = dict(pair_settings or {})
        self.class_names = list_names(class_names)
        self.output_dir = output_dir
        self.distributed = distributed
        self.rules = Rules()
        self.reset()

    def compare(self, item: dict, first: dict, second: dict) -> dict | None:
        """The record of a pair, see :mod:`~aa_detectron.consistency.records`.

        Args:
            item: input for the first crop.
            first: output for the first crop.
            second: output for the second crop.

        Returns:
            None if the outputs do not have the compared kind.

        Raises:
            InputError: an output that cannot be used, or only one output with the compared kind;
                the message names the image.
        """
        if not any(self.output in output for output in (first, second)):
            return None
        one, two = (
            read_output(item, output, self.output, self.rules.score_thresh)
            for output in (first, second)
        )
        place = item["image_id"], item["pair"]["number"], item["pair"]["offsets"]
        size = item["height"], item["width"]
        with naming(item):
            return compare(*place, size, one, two, self.rules, self.truth_of(item))

    def truth_of(self, item: dict) -> dict | None:
        """Ground truth of the image of an input; None if it is unknown."""
        return None

    def score(self, records: list[dict]) -> dict:
        """{task: {metric: number}} from the records of all pairs, one or more."""
        return score_records(records, self.class_names)

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
            InputError: the inputs are no crops of pairs, but come from another loader; or an output
                cannot be used.
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
    output = "instances"

    def __init__(
        self,
        name: str,
        class_names: ClassNames | None = None,
        *,
        score_thresh: float = 0.5,
        match_class: bool = True,
        truth: Truth = no_truth,
        **kwargs: Any,
    ):
        super().__init__(name, class_names, **kwargs)
        self.truth = truth
        self.rules = Rules(score_thresh, match_class)

    def settings(self) -> dict:
        return dict(vars(self.rules))

    def truth_of(self, item: dict) -> dict | None:
        return self.truth(item["image_id"])


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
    output = "sem_seg"

    def __init__(
        self,
        name: str,
        class_names: ClassNames | None = None,
        *,
        ignore_label: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(name, class_names, **kwargs)
        self.ignore_label = ignore_label

    def settings(self) -> dict:
        return {"ignore_label": self.ignore_label}

    def truth_of(self, item: dict) -> dict | None:
        if self.ignore_label is None:
            return None
        if "sem_seg_file_name" not in item:
            raise InputError("has no label map, so no pixel would count")
        labels = read_label_map(item["sem_seg_file_name"], item["pair"]["image_size"])
        return {"sem_seg": labels, "ignore_label": self.ignore_label}


class ClassificationConsistencyEvaluator(PairEvaluator):
    """Consistency of the "logits" that a model gives to the crops of shifted pairs.

    The results are ``{"consistency_classification": {...}}``, see
    :func:`~aa_detectron.consistency.classes.score_class_pairs`. The file also has the drop curve.

    Args:
        args, kwargs: see :class:`PairEvaluator`.
    """

    kind = "classification"
    output = "logits"

    def truth_of(self, item: dict) -> dict | None:
        return {"class": item.get("category_id")}

    def extras(self, records: list[dict]) -> dict:
        return {"drop_curve": drop_curve(records, self.kind)}
