"""Accuracy of classifiers: functions of logits, and evaluators for Detectron2."""

import math
import os

import torch
from detectron2.evaluation import DatasetEvaluator
from torch import Tensor

from aa_detectron.consistency.records import plain
from aa_detectron.errors import InvalidOption
from aa_detectron.utils.files import name_stem, write_json

from .gathering import gather_records
from .inputs import check_inputs, read_output

LOADER = "aa_detectron.engine.Trainer.build_test_loader(cfg, name)"


def top_k_correct(logits: Tensor, categories: Tensor, k: int) -> Tensor:
    """Whether each image's category is among its k highest logits.

    Args:
        logits: (N, classes).
        categories: (N,) integers, the right class of each image.
        k: number of logits, at least 1.

    Returns:
        (N,) bool.

    Raises:
        InvalidOption: a category has no logit.
    """
    if len(categories):
        _check_number_of_logits(logits, int(categories.max()))
    highest = logits.argsort(dim=1, descending=True, stable=True)[:, :k]
    return (highest == categories[:, None]).any(dim=1)


def vid_correct(
    logits: Tensor, annotated: list[list[int]], classes_of_vid: list[list[int]]
) -> Tensor:
    """Whether a classifier of ImageNet-1k is right on each frame.

    The prediction is the class of the highest logit among the ImageNet classes that belong to a VID
    class. The prediction is right if it belongs to a VID class that is annotated in the frame.

    Args:
        logits: (N, ImageNet classes).
        annotated: indices of the annotated VID classes, for each frame.
        classes_of_vid: indices of the ImageNet classes that belong to each VID class.

    Returns:
        (N,) bool.

    Raises:
        InvalidOption: an ImageNet class has no logit.
    """
    candidates = sorted(set().union(*classes_of_vid))
    _check_number_of_logits(logits, candidates[-1])
    predicted = mask_classes(logits, candidates).argmax(dim=1).tolist()
    right = [
        any(label in classes_of_vid[vid_class] for vid_class in vid_classes)
        for label, vid_classes in zip(predicted, annotated, strict=True)
    ]
    return torch.tensor(right, dtype=torch.bool)


def mask_classes(logits: Tensor, kept: list[int]) -> Tensor:
    """(N, classes) logits with -inf for all classes except the ``kept`` classes.

    Zero would be wrong: it exceeds a negative logit of a kept class.
    """
    masked = torch.full_like(logits, -math.inf)
    masked[:, kept] = logits[:, kept]
    return masked


def _check_number_of_logits(logits: Tensor, highest: int) -> None:
    if highest >= logits.shape[1]:
        raise InvalidOption("number of logits", logits.shape[1], f"at least {highest + 1}")


def accuracy_path(folder: str, name: str) -> str:
    """Path of the file with an evaluator's results for each image of a dataset."""
    return os.path.join(folder, f"accuracy_{name_stem(name)}.json")


class AccuracyEvaluator(DatasetEvaluator):
    """Base of the evaluators of "logits".

    The results are {task: {metric: percent, "images": count}}. The file of :func:`accuracy_path`
    is {"results", "images": [{"image_id", metric: bool}]}, so that models can be compared image by
    image.

    Args:
        name: name of the dataset, for the name of the file.
        output_dir: folder of the file; None for no file.
    """

    task: str
    """Key of the results."""
    needs: str
    """Key of the inputs that has the right classes."""

    def __init__(self, name: str, output_dir: str | None = None):
        self.name = name
        self.output_dir = output_dir
        self.reset()

    def correct(self, inputs: list[dict], logits: Tensor) -> dict[str, Tensor]:
        """{metric: (N,) bool, whether the model is right on each image}.

        Args:
            inputs: inputs of the model, with the right classes.
            logits: (N, classes).
        """
        raise NotImplementedError

    def reset(self) -> None:
        self.records: list[dict] = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Compares the logits of images with their right classes.

        Raises:
            InputError: the inputs come from another loader, or an output has no logits or NaN; the
                message names the image.
        """
        check_inputs(self, inputs, self.needs, LOADER)
        pairs = zip(inputs, outputs, strict=True)
        found = [read_output(item, output, "logits")["logits"] for item, output in pairs]
        logits = torch.stack(list(map(torch.as_tensor, found)))
        right = {metric: r.tolist() for metric, r in self.correct(inputs, logits).items()}
        for number, item in enumerate(inputs):
            record = {metric: r[number] for metric, r in right.items()}
            self.records.append({"image_id": plain(item.get("image_id"))} | record)

    def evaluate(self) -> dict | None:
        records = gather_records(self.records)
        if records is None:
            return None
        if not records:
            return {}
        metrics = sorted(records[0].keys() - {"image_id"})
        scores = {m: 100 * sum(record[m] for record in records) / len(records) for m in metrics}
        results = {self.task: scores | {"images": len(records)}}
        if self.output_dir:
            records.sort(key=lambda record: str(record["image_id"]))
            path = accuracy_path(self.output_dir, self.name)
            write_json(path, {"results": results, "images": records})
        return results


class ClassificationEvaluator(AccuracyEvaluator):
    """Top-1 and top-5 accuracy of inputs with "category_id"."""

    task = "classification"
    needs = "category_id"

    def correct(self, inputs: list[dict], logits: Tensor) -> dict[str, Tensor]:
        categories = torch.tensor([item["category_id"] for item in inputs])
        return {f"top{k}": top_k_correct(logits, categories, k) for k in (1, 5)}


class VIDEvaluator(AccuracyEvaluator):
    """Generalization of a classifier of ImageNet-1k to inputs with "vid_classes".

    See :func:`vid_correct`.

    Args:
        name, output_dir: see :class:`AccuracyEvaluator`.
        classes_of_vid: indices of the ImageNet-1k classes that belong to each VID class.
    """

    task = "vid"
    needs = "vid_classes"

    def __init__(self, name: str, classes_of_vid: list[list[int]], output_dir: str | None = None):
        super().__init__(name, output_dir)
        self.classes_of_vid = classes_of_vid

    def correct(self, inputs: list[dict], logits: Tensor) -> dict[str, Tensor]:
        annotated = [item["vid_classes"] for item in inputs]
        return {"top1": vid_correct(logits, annotated, self.classes_of_vid)}
