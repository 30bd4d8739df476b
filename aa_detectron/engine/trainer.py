"""The trainer behind tools/train_net.py."""

import os
import weakref

import torch
from detectron2.config import CfgNode
from detectron2.data import (
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import (
    COCOEvaluator,
    DatasetEvaluator,
    LVISEvaluator,
    PascalVOCDetectionEvaluator,
    inference_on_dataset,
    print_csv_format,
)
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from detectron2.utils import comm
from torch import nn

from aa_detectron.data.datasets.coco_check import explained
from aa_detectron.data.image_io import CheckedDatasetMapper
from aa_detectron.data.shifted_pairs import build_shifted_pair_loader, get_class_names
from aa_detectron.errors import InputError, check_choice
from aa_detectron.evaluation import InstanceConsistencyEvaluator

from .checkpoint import AACheckpointer

EVALUATORS = {
    "coco": lambda name, folder: COCOEvaluator(name, output_dir=folder),
    "lvis": lambda name, folder: LVISEvaluator(name, output_dir=folder),
    "pascal_voc": lambda name, folder: PascalVOCDetectionEvaluator(name),
}
"""By the ``evaluator_type`` of a data set's metadata."""


def check_evaluator_type(name: str) -> None:
    """Raises InputError unless there is an evaluator for the data set."""
    kind = MetadataCatalog.get(name).get("evaluator_type")
    if kind not in EVALUATORS:
        raise InputError(
            f"DATASETS.TEST: {name} has evaluator_type {kind!r}, but must have one of "
            + ", ".join(map(repr, EVALUATORS))
        )


class Trainer(DefaultTrainer):
    """Detectron2's trainer, whose :meth:`test` also measures consistency.

    Inputs that cannot be read and checkpoints that do not fit are refused in one line, see
    :class:`~aa_detectron.errors.InputError`.
    """

    def build_hooks(self):
        # The hooks keep the checkpointer, so this is the last moment to exchange it.
        self.checkpointer = AACheckpointer(
            self.model, self.cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        return super().build_hooks()

    def train(self) -> dict | None:
        """Trains; returns the results of the last test, None where none was made."""
        super().train()
        return getattr(self, "_last_eval_results", None)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """Detectron2's SGD, or AdamW with the same groups of parameters.

        Raises:
            InvalidOption: naming the key.
        """
        check_choice("SOLVER.OPTIMIZER", cfg.SOLVER.OPTIMIZER, ("SGD", "ADAMW"))
        if cfg.SOLVER.OPTIMIZER == "SGD":
            return super().build_optimizer(cfg, model)
        parameters = get_default_optimizer_params(
            model,
            base_lr=cfg.SOLVER.BASE_LR,
            weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
            bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
            weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
        )
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
        return optimizer(parameters, cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode):
        with explained(cfg.DATASETS.TRAIN):
            return build_detection_train_loader(cfg, mapper=CheckedDatasetMapper(cfg, True))

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str):
        mapper = CheckedDatasetMapper(cfg, False)
        with explained([dataset_name]):
            return build_detection_test_loader(cfg, dataset_name, mapper=mapper)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """The evaluator for the data set's ``evaluator_type``.

        Raises:
            InputError: none is known for it.
        """
        check_evaluator_type(dataset_name)
        kind = MetadataCatalog.get(dataset_name).evaluator_type
        return EVALUATORS[kind](dataset_name, inference_folder(cfg))

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators=None) -> dict:
        """Detectron2's test and, where ``TEST.CONSISTENCY.ENABLED``, :meth:`test_consistency`.

        Returns:
            {task: {metric: value}} of a single ``DATASETS.TEST``; everything else, further data
            sets or folders, is {data set: {task: {...}}}.
        """
        results = super().test(cfg, model, evaluators)
        if not cfg.TEST.CONSISTENCY.ENABLED:
            return results
        for name, scores in cls.test_consistency(cfg, model).items():
            if cfg.DATASETS.TEST == (name,):  # as Detectron2 does for a single data set
                results.update(scores)
            else:
                results.setdefault(name, {}).update(scores)
        return results

    @classmethod
    def test_consistency(cls, cfg: CfgNode, model: nn.Module) -> dict:
        """Consistency under shifts on each of ``TEST.CONSISTENCY.DATASETS``.

        Returns:
            {data set or folder: {"consistency_segm": {...}, "consistency_bbox": {...}}}; empty
            but in the main process.
        """
        results = {}
        for name in cfg.TEST.CONSISTENCY.DATASETS or cfg.DATASETS.TEST:
            loader = build_shifted_pair_loader(cfg, name)  # sets class names, too
            evaluator = InstanceConsistencyEvaluator(
                name,
                get_class_names(name),
                score_thresh=cfg.TEST.CONSISTENCY.SCORE_THRESH,
                match_class=cfg.TEST.CONSISTENCY.MATCH_CLASS,
                output_dir=inference_folder(cfg),
            )
            results[name] = inference_on_dataset(model, loader, evaluator)
            if comm.is_main_process():
                print_csv_format(results[name])
        return results


def inference_folder(cfg: CfgNode) -> str:
    """Where Detectron2, too, keeps what evaluation writes."""
    return os.path.join(cfg.OUTPUT_DIR, "inference")
