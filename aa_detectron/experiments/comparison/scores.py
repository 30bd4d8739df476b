"""All scores of a run, on its images and on resampled images, from the files of its tests."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.consistency.records import METRICS
from aa_detectron.data.label_maps import read_label_map
from aa_detectron.errors import InputError
from aa_detectron.evaluation.accuracy import accuracy_path
from aa_detectron.evaluation.pair_evaluator import records_path

from .configs import tested_datasets
from .predictions import LabelPredictions, read_detections, read_latest, read_top1
from .resampled_ap import ap_of_resamples, compare_detections, count_annotated
from .runs import MAIN, Run
from .statistics import image_weights, weighted_mean

logger = logging.getLogger(__name__)

RESAMPLES = 1000
READ_ERRORS = (AssertionError, AttributeError, LookupError, OSError, TypeError, ValueError)
"""Errors for annotations that are broken or do not fit the predictions."""
OF_TRAINING = {"box AP": "bbox/AP", "mask AP": "segm/AP", "mIoU": "sem_seg/mIoU"}
"""Names in metrics.json of the scores that depend on the annotations."""
ROUNDING = 1e-3
"""Difference of two scores of the same predictions, in points, that rounding may make."""
CONSISTENCY = {
    "instances": (
        "mask mAISC",
        "mask mAISC75",
        "mask mAISC50",
        "mask mAISC symmetric",
        "box mAISC",
        "mask consistent and correct",
        "box consistent and correct",
    ),
    "sem_seg": ("mASSC", "mASSC boundary"),
    "classification": ("consistency", "correct consistency"),
}
"""Metrics that are compared, by the kind of the records."""
OPTIONAL = {"mask consistent and correct", "box consistent and correct", "mASSC boundary"}
"""Metrics that are left out where no pair counts, as without annotated objects."""


class Score(NamedTuple):
    """A score of a run, in percent."""

    resampled: np.ndarray
    """(1 + RESAMPLES,): the score, then the scores on resampled images."""
    image_ids: list[str]
    pairs: int | None = None
    """Number of pairs that count; None for scores that do not use pairs."""
    tested: str = ""
    """Digest of the tested pairs and of the settings of their comparison."""
    counted: int | None = None
    """Number of images that count, such as those with an object or with a pair that has something
    to compare; None if all of them do."""
    dataset: str | None = None
    """Name of the tested dataset; None if the run's files do not have it."""


def read_scores(run: Run) -> dict[str, Score]:
    """The scores of all evaluations of a run.

    The evaluation at the end of a training gives accuracy ("mask AP" for example) and consistency
    ("mask mAISC"). Further evaluations give consistency ("mask mAISC, to 8 px").

    Raises:
        InputError: results are missing or broken, or an evaluation has not exactly one dataset.
    """
    scores: dict[str, Score] = {}
    for evaluation in (MAIN, *run.evaluations):
        name, pairs = tested_datasets(run, evaluation)
        folder = run.inference(evaluation)
        try:
            if evaluation == MAIN:
                scores |= read_accuracy(folder, name)
            read = read_consistency(folder, pairs)
        except READ_ERRORS as error:
            raise InputError(f"{folder}: its results cannot be read ({error!r})") from error
        if evaluation and not read:
            raise InputError(f"{folder}: has no consistency of {pairs}")
        suffix = f", {evaluation}" if evaluation else ""
        scores |= {metric + suffix: score for metric, score in read.items()}
    if not scores:
        raise InputError(f"{run.folder}: has no results to compare in {run.inference()}")
    return scores


def warn_of_other_annotations(run: Run, scores: dict[str, Score]) -> None:
    """Warns of scores that differ from those that the run's own test has written.

    It is no error: a later test in the same folder replaces the predictions, but not metrics.json,
    and Detectron2 counts an annotation whose id is 0 as missed.

    Args:
        run: run with or without metrics.json.
        scores: return value of :func:`read_scores`.
    """
    written = read_latest(run.folder / "metrics.json")
    for metric, name in OF_TRAINING.items():
        if metric in scores and name in written:
            score, expected = float(scores[metric].resampled[0]), written[name]
            if abs(score - expected) > ROUNDING:
                logger.warning(
                    "%s: its %s is %.3f with the annotations of %s, but metrics.json has %.3f; "
                    "are they the annotations that it was tested with?",
                    run.folder,
                    metric,
                    score,
                    scores[metric].dataset,
                    expected,
                )


def read_accuracy(folder: Path, name: str) -> dict[str, Score]:
    """AP of instances, mIoU or top-1, for the predictions on a dataset in ``folder``."""
    readers = {
        folder / "coco_instances_results.json": _read_ap,
        folder / "sem_seg_predictions.json": _read_miou,
        Path(accuracy_path(str(folder), name)): _read_top1,
    }
    scores: dict[str, Score] = {}
    for path, read in readers.items():
        if path.exists():
            scores |= {metric: s._replace(dataset=name) for metric, s in read(path, name).items()}
    return scores


def _read_ap(path: Path, name: str) -> dict[str, Score]:
    annotations = MetadataCatalog.get(name).json_file
    truth = json.loads(Path(annotations).read_text())
    detections = read_detections(path, truth)
    # A network without detections has an AP of 0 for all annotated tasks.
    shown = detections[:1] or truth["annotations"]
    has_masks = any("segmentation" in instance for instance in shown)
    scores = {}
    for task, label in (("bbox", "box"), ("segm", "mask")):
        if task == "bbox" or has_masks:
            compared = compare_detections(annotations, str(path), task)
            weights = image_weights(len(compared.image_ids), RESAMPLES)
            ids = [str(i) for i in compared.image_ids]
            counted = count_annotated(compared)
            for metric, resampled in ap_of_resamples(compared, weights).items():
                scores[f"{label} {metric}"] = Score(resampled, ids, counted=counted)
    return scores


def _read_miou(path: Path, name: str) -> dict[str, Score]:
    confusion = read_confusion(path, name)
    weights = image_weights(len(confusion), RESAMPLES)
    of_images = np.stack(list(confusion.values()))
    counted = int(np.count_nonzero(of_images.any(axis=(1, 2))))
    resampled = miou(np.tensordot(weights, of_images, 1))
    return {"mIoU": Score(resampled, list(confusion), counted=counted)}


def read_confusion(path: Path, name: str) -> dict[str, np.ndarray]:
    """Numbers of pixels by predicted and annotated class, without ignored pixels, for each image.

    Args:
        path: sem_seg_predictions.json of Detectron2's SemSegEvaluator.
        name: name of the dataset.

    Returns:
        {file name of the image without folders: (classes, classes) integers}.

    Raises:
        InputError: predictions are missing or broken.
        ValueError: two images have the same file name.
    """
    metadata = MetadataCatalog.get(name)
    classes = len(metadata.stuff_classes)
    contiguous = metadata.get("stuff_dataset_id_to_contiguous_id") or {i: i for i in range(classes)}
    predictions = LabelPredictions(path, contiguous)
    confusion = {}
    for item in DatasetCatalog.get(name):
        file = os.path.basename(item["file_name"])
        if file in confusion:
            raise ValueError(f"{name} has two images named {file}")
        truth = read_label_map(item["sem_seg_file_name"])
        counted = truth != metadata.ignore_label
        labels = predictions.labels(file, truth.shape)
        pairs = labels[counted].astype(int) * classes + truth[counted]
        confusion[file] = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    return dict(sorted(confusion.items()))


def miou(confusion: np.ndarray) -> np.ndarray:
    """mIoU in percent.

    As in Detectron2's SemSegEvaluator, classes that are not annotated do not count.

    Args:
        confusion: numbers of pixels, (..., predicted classes, annotated classes).

    Returns:
        (...), the leading dimensions of ``confusion``; NaN without annotated pixels.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    annotated, predicted = confusion.sum(axis=-2), confusion.sum(axis=-1)
    counts = annotated > 0
    iou = np.divide(right, annotated + predicted - right, where=counts, out=np.zeros(right.shape))
    with np.errstate(invalid="ignore"):
        return 100 * iou.sum(axis=-1) / counts.sum(axis=-1)


def _read_top1(path: Path, name: str) -> dict[str, Score]:
    records = read_top1(path)
    right = [float(record["top1"]) for record in records]
    return {"top-1": _over_pairs(records, right, pairs=None)}


def read_consistency(folder: Path, data: str) -> dict[str, Score]:
    """Consistency of instances, label maps and classes, for the records in ``folder``."""
    scores = {}
    for kind, metrics in CONSISTENCY.items():
        path = Path(records_path(str(folder), kind, data))
        if not path.exists():
            continue
        report = read_report(path)
        records = report["pairs"]
        if not records:
            raise InputError(f"{path}: has no pairs")
        tested = _tested(report)
        for name in metrics:
            section, fraction = METRICS[name]
            if section in records[0]:
                fractions = [fraction(record) for record in records]
                counted = sum(f is not None for f in fractions)
                if name in OPTIONAL and not counted:
                    continue
                score = _over_pairs(records, fractions, counted)
                scores[name] = score._replace(tested=tested, dataset=report.get("name"))
    return scores


def _tested(report: dict) -> str:
    """Digest of the pairs' offsets and of the settings of their comparison."""
    settings = {key: report.get(key) for key in ("score_thresh", "match_class", "ignore_label")}
    pairs = [[r[key] for key in ("image_id", "pair", "offsets", "size")] for r in report["pairs"]]
    return hashlib.sha256(json.dumps([settings, sorted(pairs, key=str)]).encode()).hexdigest()


def _over_pairs(records: list[dict], fractions: Sequence[float | None], pairs: int | None) -> Score:
    ids, image = np.unique([str(record["image_id"]) for record in records], return_inverse=True)
    weights = image_weights(len(ids), RESAMPLES)
    counted = {i for i, f in zip(image.tolist(), fractions, strict=True) if f is not None}
    resampled = weighted_mean(fractions, image, weights)
    return Score(resampled, ids.tolist(), pairs, counted=len(counted))
