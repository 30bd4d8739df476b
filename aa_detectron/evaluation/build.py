"""Evaluators for the ``evaluator_type`` of a dataset and a config."""

import importlib.util
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import (
    COCOPanopticEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    LVISEvaluator,
    PascalVOCDetectionEvaluator,
    SemSegEvaluator,
)
from numpy.typing import DTypeLike

from aa_detectron.config import check_has_keys
from aa_detectron.data.label_maps import check_labels, read_label_map
from aa_detectron.data.pairs import build_pair_mapper, get_metadata
from aa_detectron.errors import InputError

from .accuracy import ClassificationEvaluator, VIDEvaluator
from .checks import check_needs
from .coco_truth import build_coco_evaluator
from .object_truth import ObjectTruth
from .pair_evaluator import (
    ClassificationConsistencyEvaluator,
    InstanceConsistencyEvaluator,
    PairEvaluator,
    SemSegConsistencyEvaluator,
)

logger = logging.getLogger(__name__)


def _sem_seg(name: str, folder: str, _: object) -> SemSegEvaluator:
    metadata = MetadataCatalog.get(name)

    def load(file_name: str, dtype: DTypeLike) -> np.ndarray:
        labels = read_label_map(file_name)
        check_labels(labels, len(metadata.stuff_classes), metadata.ignore_label, file_name)
        return labels.astype(dtype)

    return SemSegEvaluator(name, output_dir=folder, sem_seg_loading_fn=load)


def _panoptic(name: str, folder: str, sigmas: Sequence[float]) -> DatasetEvaluators:
    evaluators: list[DatasetEvaluator] = [
        _sem_seg(name, folder, sigmas),
        build_coco_evaluator(name, folder, sigmas),
    ]
    if importlib.util.find_spec("panopticapi"):
        evaluators.append(COCOPanopticEvaluator(name, folder))
    else:
        logger.warning("panopticapi is not installed: panoptic quality is not measured")
    return DatasetEvaluators(evaluators)


def _imagenet_vid(name: str, folder: str, _: object) -> VIDEvaluator:
    return VIDEvaluator(name, MetadataCatalog.get(name).imagenet_1k, folder)


EVALUATORS: dict[str, Callable[[str, str, Sequence[float]], DatasetEvaluator]] = {
    "cityscapes_sem_seg": _sem_seg,
    "classification": lambda name, folder, _: ClassificationEvaluator(name, folder),
    "coco": build_coco_evaluator,
    "coco_panoptic_seg": _panoptic,
    "imagenet_vid": _imagenet_vid,
    "lvis": lambda name, folder, _: LVISEvaluator(name, output_dir=folder),
    "pascal_voc": lambda name, *_: PascalVOCDetectionEvaluator(name),
    "sem_seg": _sem_seg,
}
"""Builder of the evaluator for each ``evaluator_type`` in a dataset's metadata: a function of the
dataset's name, the folder of the results and the sigmas of keypoints."""


def check_evaluator_type(name: str) -> None:
    """Raises InputError if there is no evaluator for the dataset."""
    kind = MetadataCatalog.get(name).get("evaluator_type")
    if kind not in EVALUATORS:
        raise InputError(
            f"DATASETS.TEST: {name} has evaluator_type {kind!r}, but must have one of "
            + ", ".join(map(repr, EVALUATORS))
        )


def build_evaluator(cfg: CfgNode, name: str) -> DatasetEvaluator:
    """The evaluator for the ``evaluator_type`` of a dataset.

    Raises:
        InputError: there is no evaluator for this type.
    """
    return make_evaluator(name, inference_folder(cfg), cfg.TEST.KEYPOINT_OKS_SIGMAS)


def make_evaluator(
    name: str, output_dir: str, keypoint_oks_sigmas: Sequence[float] = ()
) -> DatasetEvaluator:
    """Makes the evaluator for the ``evaluator_type`` of a dataset.

    Args:
        name: name of the dataset.
        output_dir: folder of the files that the evaluator writes.
        keypoint_oks_sigmas: sigmas of the keypoints, one each; empty for those of COCO.

    Raises:
        InputError: there is no evaluator for this type.
    """
    check_evaluator_type(name)
    return EVALUATORS[MetadataCatalog.get(name).evaluator_type](
        name, output_dir, keypoint_oks_sigmas
    )


def build_consistency_evaluators(cfg: CfgNode, name: str) -> list[PairEvaluator]:
    """The evaluators for a dataset or folder of images, one for each kind of output."""
    check_has_keys(cfg)
    options = cfg.TEST.CONSISTENCY
    return make_consistency_evaluators(
        name,
        inference_folder(cfg),
        score_thresh=options.SCORE_THRESH,
        match_class=options.MATCH_CLASS,
        labelled_only=options.LABELLED_ONLY,
        pair_settings=describe_pairs(build_pair_mapper(cfg), options.PAIRS_PER_IMAGE),
    )


def describe_pairs(mapper: Callable[[dict], list[dict]], pairs_per_image: int) -> dict[str, int]:
    """Settings of pairs, for the files of records.

    Args:
        mapper: mapper of pairs, such as :class:`~aa_detectron.data.pairs.ShiftedPairMapper`.
        pairs_per_image: number of pairs per image.

    Returns:
        {"max_shift", "seed", "pairs_per_image": integer}, without what the mapper does not have.
    """
    known = {key: getattr(mapper, key) for key in ("max_shift", "seed") if hasattr(mapper, key)}
    return known | {"pairs_per_image": pairs_per_image}


def make_consistency_evaluators(
    name: str,
    output_dir: str | None = None,
    *,
    score_thresh: float = 0.5,
    match_class: bool = True,
    labelled_only: bool = False,
    pair_settings: Mapping[str, Any] | None = None,
) -> list[PairEvaluator]:
    """Makes the evaluators of consistency, one for each kind of output.

    Args:
        name: name of a registered dataset, or path of a folder of images.
        output_dir: folder of the files with the records of all pairs; None for no files.
        score_thresh: minimum score of an instance that counts, 0 to 1.
        match_class: whether only instances of the same class can match.
        labelled_only: whether only pixels with a label other than the ignore label count.
        pair_settings: settings of the pairs for the files, see :func:`describe_pairs`.

    Raises:
        InvalidOption: ``labelled_only`` for a dataset or folder without label maps.
    """
    check_needs(name, labelled_only=labelled_only)
    shared: dict[str, Any] = {"output_dir": output_dir, "pair_settings": pair_settings}
    ignored = get_metadata(name, "ignore_label") if labelled_only else None
    return [
        InstanceConsistencyEvaluator(
            name,
            get_metadata(name, "thing_classes"),
            score_thresh=score_thresh,
            match_class=match_class,
            truth=ObjectTruth(name),
            **shared,
        ),
        SemSegConsistencyEvaluator(
            name,
            get_metadata(name, "stuff_classes"),
            ignore_label=ignored,
            **shared,
        ),
        ClassificationConsistencyEvaluator(name, **shared),
    ]


def inference_folder(cfg: CfgNode) -> str:
    """Folder of the files that an evaluation writes, as in Detectron2."""
    return inference_path(cfg.OUTPUT_DIR)


def inference_path(output_dir: str) -> str:
    """Folder of the files that an evaluation writes, in the output folder of a training."""
    return os.path.join(output_dir, "inference")
