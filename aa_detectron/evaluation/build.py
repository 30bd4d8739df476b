"""Evaluators for the ``evaluator_type`` of a dataset and a config."""

import importlib.util
import logging
import os
from collections.abc import Callable

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import (
    COCOEvaluator,
    COCOPanopticEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    LVISEvaluator,
    PascalVOCDetectionEvaluator,
    SemSegEvaluator,
)
from numpy.typing import DTypeLike

from aa_detectron.data.label_maps import check_labels, read_label_map
from aa_detectron.data.pairs import get_metadata
from aa_detectron.errors import InputError

from .accuracy import ClassificationEvaluator, VIDEvaluator
from .coco_truth import build_coco_evaluator
from .pair_evaluator import (
    ClassificationConsistencyEvaluator,
    InstanceConsistencyEvaluator,
    PairEvaluator,
    SemSegConsistencyEvaluator,
)

logger = logging.getLogger(__name__)


def _coco(cfg: CfgNode, name: str) -> COCOEvaluator:
    sigmas = cfg.TEST.KEYPOINT_OKS_SIGMAS
    return build_coco_evaluator(name, inference_folder(cfg), sigmas)


def _sem_seg(cfg: CfgNode, name: str) -> SemSegEvaluator:
    metadata = MetadataCatalog.get(name)

    def load(file_name: str, dtype: DTypeLike) -> np.ndarray:
        labels = read_label_map(file_name)
        check_labels(labels, len(metadata.stuff_classes), metadata.ignore_label, file_name)
        return labels.astype(dtype)

    return SemSegEvaluator(name, output_dir=inference_folder(cfg), sem_seg_loading_fn=load)


def _panoptic(cfg: CfgNode, name: str) -> DatasetEvaluators:
    evaluators = [_sem_seg(cfg, name), _coco(cfg, name)]
    if importlib.util.find_spec("panopticapi"):
        evaluators.append(COCOPanopticEvaluator(name, inference_folder(cfg)))
    else:
        logger.warning("panopticapi is not installed: panoptic quality is not measured")
    return DatasetEvaluators(evaluators)


def _classification(cfg: CfgNode, name: str) -> ClassificationEvaluator:
    return ClassificationEvaluator(name, inference_folder(cfg))


def _imagenet_vid(cfg: CfgNode, name: str) -> VIDEvaluator:
    return VIDEvaluator(name, MetadataCatalog.get(name).imagenet_1k, inference_folder(cfg))


def _lvis(cfg: CfgNode, name: str) -> LVISEvaluator:
    return LVISEvaluator(name, output_dir=inference_folder(cfg))


def _pascal_voc(cfg: CfgNode, name: str) -> PascalVOCDetectionEvaluator:
    return PascalVOCDetectionEvaluator(name)


EVALUATORS: dict[str, Callable[[CfgNode, str], DatasetEvaluator]] = {
    "cityscapes_sem_seg": _sem_seg,
    "classification": _classification,
    "coco": _coco,
    "coco_panoptic_seg": _panoptic,
    "imagenet_vid": _imagenet_vid,
    "lvis": _lvis,
    "pascal_voc": _pascal_voc,
    "sem_seg": _sem_seg,
}
"""Builder of the evaluator for each ``evaluator_type`` in a dataset's metadata."""


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
    check_evaluator_type(name)
    return EVALUATORS[MetadataCatalog.get(name).evaluator_type](cfg, name)


def build_consistency_evaluators(cfg: CfgNode, name: str) -> list[PairEvaluator]:
    """The evaluators for a dataset or folder of images, one for each kind of output."""
    options = cfg.TEST.CONSISTENCY
    folder = inference_folder(cfg)
    ignored = get_metadata(name, "ignore_label") if options.LABELLED_ONLY else None
    return [
        InstanceConsistencyEvaluator(
            name,
            get_metadata(name, "thing_classes"),
            score_thresh=options.SCORE_THRESH,
            match_class=options.MATCH_CLASS,
            output_dir=folder,
        ),
        SemSegConsistencyEvaluator(
            name,
            get_metadata(name, "stuff_classes"),
            ignore_label=ignored,
            output_dir=folder,
        ),
        ClassificationConsistencyEvaluator(name, output_dir=folder),
    ]


def inference_folder(cfg: CfgNode) -> str:
    """Folder of the files that an evaluation writes, as in Detectron2."""
    return os.path.join(cfg.OUTPUT_DIR, "inference")
