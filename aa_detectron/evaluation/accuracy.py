"""Accuracy of classifiers as Detectron2 evaluators: counts, gathered, divided once."""

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import Tensor

from .classification import top_k_correct, vid_correct


class AccuracyEvaluator(DatasetEvaluator):
    """Base of the evaluators of "logits".

    The results are {task: {metric: percent, "images": count}}.
    """

    task: str

    def correct(self, inputs: list[dict], logits: Tensor) -> dict[str, Tensor]:
        """For each metric, (N,) bool: which images count.

        Args:
            inputs: of the model, with what is right.
            logits: (N, classes).
        """
        raise NotImplementedError

    def reset(self):
        self.images = 0
        self.counts = {}

    def process(self, inputs: list[dict], outputs: list[dict]):
        self.images += len(inputs)
        logits = torch.stack([output["logits"] for output in outputs]).cpu()
        for metric, right in self.correct(inputs, logits).items():
            self.counts[metric] = self.counts.get(metric, 0) + int(right.sum())

    def evaluate(self) -> dict | None:
        comm.synchronize()
        gathered = comm.gather((self.images, self.counts), dst=0)
        if not comm.is_main_process():
            return None
        images = sum(n for n, _ in gathered)
        metrics = {metric for _, counts in gathered for metric in counts}
        totals = {m: sum(counts.get(m, 0) for _, counts in gathered) for m in sorted(metrics)}
        scores = {metric: 100 * total / images for metric, total in totals.items()}
        return {self.task: scores | {"images": images}}


class ClassificationEvaluator(AccuracyEvaluator):
    """Top-1 and top-5 accuracy of inputs with "category_id"."""

    task = "classification"

    def correct(self, inputs, logits):
        categories = torch.tensor([item["category_id"] for item in inputs])
        return {f"top{k}": top_k_correct(logits, categories, k) for k in (1, 5)}


class VIDEvaluator(AccuracyEvaluator):
    """Generalisation of a classifier of ImageNet-1k to inputs with "vid_classes".

    See :func:`~aa_detectron.evaluation.classification.vid_correct`.

    Args:
        classes_of_vid: for each class of ImageNet-VID, its classes of ImageNet-1k.
    """

    task = "vid"

    def __init__(self, classes_of_vid: list[list[int]]):
        self.classes_of_vid = classes_of_vid

    def correct(self, inputs, logits):
        annotated = [item["vid_classes"] for item in inputs]
        return {"top1": vid_correct(logits, annotated, self.classes_of_vid)}
