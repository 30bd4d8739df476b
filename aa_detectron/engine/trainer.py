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
    inference_on_dataset,
    print_csv_format,
)
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from detectron2.utils import comm
from torch import nn

from aa_detectron.data.image_io import CheckedDatasetMapper
from aa_detectron.data.shifted_pairs import build_shifted_pair_loader, get_class_names
from aa_detectron.errors import InputError, check_choice
from aa_detectron.evaluation import InstanceConsistencyEvaluator

from .checkpoint import AACheckpointer


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
        return build_detection_train_loader(cfg, mapper=CheckedDatasetMapper(cfg, True))

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str):
        mapper = CheckedDatasetMapper(cfg, False)
        return build_detection_test_loader(cfg, dataset_name, mapper=mapper)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """The evaluator for the data set's ``evaluator_type``.

        Raises:
            InputError: none is known for it.
        """
        kind = MetadataCatalog.get(dataset_name).get("evaluator_type")
        if kind == "coco":
            return COCOEvaluator(dataset_name, output_dir=inference_folder(cfg))
        raise InputError(
            f"DATASETS.TEST: {dataset_name} has the evaluator_type {kind!r}, but must have 'coco'"
        )

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators=None) -> dict:
        """Detectron2's test and, where ``TEST.CONSISTENCY.ENABLED``, :meth:`test_consistency`.

        Returns:
            {task: {metric: value}}; with several data sets {data set: {task: {...}}}.
        """
        results = super().test(cfg, model, evaluators)
        if not cfg.TEST.CONSISTENCY.ENABLED:
            return results
        if len(cfg.DATASETS.TEST) == 1:
            results = {cfg.DATASETS.TEST[0]: results}
        for name, scores in cls.test_consistency(cfg, model).items():
            results[name] = {**results.get(name, {}), **scores}
        return next(iter(results.values())) if len(results) == 1 else results

    @classmethod
    def test_consistency(cls, cfg: CfgNode, model: nn.Module) -> dict:
        """Consistency under shifts on each of ``TEST.CONSISTENCY.DATASETS``.

        Returns:
            {data set or folder: {"consistency_segm": {...}, "consistency_bbox": {...}}}; empty
            but in the main process.
        """
        results = {}
        for name in cfg.TEST.CONSISTENCY.DATASETS or cfg.DATASETS.TEST:
            evaluator = InstanceConsistencyEvaluator(
                name,
                get_class_names(name),
                score_thresh=cfg.TEST.CONSISTENCY.SCORE_THRESH,
                match_class=cfg.TEST.CONSISTENCY.MATCH_CLASS,
                output_dir=inference_folder(cfg),
            )
            loader = build_shifted_pair_loader(cfg, name)
            results[name] = inference_on_dataset(model, loader, evaluator)
            if comm.is_main_process():
                print_csv_format(results[name])
        return results


def inference_folder(cfg: CfgNode) -> str:
    """Where Detectron2, too, keeps what evaluation writes."""
    return os.path.join(cfg.OUTPUT_DIR, "inference")
