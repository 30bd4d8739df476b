"""Accuracy of classifiers as Detectron2 evaluators: counts, gathered, divided once."""

import itertools
import os

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import Tensor

from aa_detectron.consistency.classes import top_k_correct, vid_correct
from aa_detectron.utils.files import write_json

RECORDS = "accuracy.json"


class AccuracyEvaluator(DatasetEvaluator):
    """Base of the evaluators of "logits".

    The results are {task: {metric: percent, "images": count}}.

    Args:
        output_dir: where :data:`RECORDS` goes: {"results", "images": [{"image_id", metric: bool}]},
            by which models can be compared image by image; None for no file.
    """

    task: str

    def __init__(self, output_dir: str | None = None):
        self.output_dir = output_dir
        self.reset()

    def correct(self, inputs: list[dict], logits: Tensor) -> dict[str, Tensor]:
        """For each metric, (N,) bool: which images count.

        Args:
            inputs: of the model, with what is right.
            logits: (N, classes).
        """
        raise NotImplementedError

    def reset(self):
        self.records = []

    def process(self, inputs: list[dict], outputs: list[dict]):
        logits = torch.stack([output["logits"] for output in outputs]).cpu()
        right = {metric: r.tolist() for metric, r in self.correct(inputs, logits).items()}
        for number, item in enumerate(inputs):
            record = {metric: r[number] for metric, r in right.items()}
            self.records.append({"image_id": item.get("image_id")} | record)

    def evaluate(self) -> dict | None:
        comm.synchronize()
        records = list(itertools.chain.from_iterable(comm.gather(self.records, dst=0)))
        if not comm.is_main_process():
            return None
        metrics = sorted(records[0].keys() - {"image_id"})
        scores = {m: 100 * sum(record[m] for record in records) / len(records) for m in metrics}
        results = {self.task: scores | {"images": len(records)}}
        if self.output_dir:
            records.sort(key=lambda record: str(record["image_id"]))
            path = os.path.join(self.output_dir, RECORDS)
            write_json(path, {"results": results, "images": records})
        return results


class ClassificationEvaluator(AccuracyEvaluator):
    """Top-1 and top-5 accuracy of inputs with "category_id"."""

    task = "classification"

    def correct(self, inputs, logits):
        categories = torch.tensor([item["category_id"] for item in inputs])
        return {f"top{k}": top_k_correct(logits, categories, k) for k in (1, 5)}


class VIDEvaluator(AccuracyEvaluator):
    """Generalisation of a classifier of ImageNet-1k to inputs with "vid_classes".

    See :func:`~aa_detectron.consistency.classes.vid_correct`.

    Args:
        classes_of_vid: for each class of ImageNet-VID, its classes of ImageNet-1k.
        output_dir: see :class:`AccuracyEvaluator`.
    """

    task = "vid"

    def __init__(self, classes_of_vid: list[list[int]], output_dir: str | None = None):
        super().__init__(output_dir)
        self.classes_of_vid = classes_of_vid

    def correct(self, inputs, logits):
        annotated = [item["vid_classes"] for item in inputs]
        return {"top1": vid_correct(logits, annotated, self.classes_of_vid)}
