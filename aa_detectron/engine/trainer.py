"""The trainer behind tools/train_net.py."""

import os
import weakref

import torch
from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from aa_detectron.checkpoint.checkpointer import AACheckpointer
from aa_detectron.checkpoint.final import FinalCheckpoint
from aa_detectron.config import check_has_keys
from aa_detectron.data.datasets.check import check_coco_use
from aa_detectron.data.mappers import build_mapper
from aa_detectron.data.pairs import build_pair_mapper
from aa_detectron.data.train_loader import begin_at, build_train_loader
from aa_detectron.data.windows import ShiftedWindowMapper
from aa_detectron.evaluation.build import build_evaluator, inference_folder
from aa_detectron.evaluation.consistency import (
    ConsistencyOptions,
    add_consistency,
    measure_consistency,
)
from aa_detectron.modeling.ignored_keys import consistency_is_measured
from aa_detectron.modeling.missing_filters import warn_of_missing_filters

from .distributed import ddp_options, share_buffers, unused_parameters_named
from .folder_lock import only_training_in
from .machine import explained, whole_files
from .reproducibility import KeyedSteps, LossNormalizer, forget_metrics, warn_of_inexact_resume
from .solver import build_lr_scheduler, build_optimizer


class Trainer(DefaultTrainer):
    """Detectron2's trainer, whose :meth:`test` also measures consistency.

    With a ``SEED``, killing a training and resuming it gives bit-identical weights. This holds on
    the same machine with the same libraries, if their operations are deterministic. The weights do
    not depend on ``DATALOADER.NUM_WORKERS``.

    Unreadable inputs and checkpoints that do not fit are rejected with a message of one line, see
    :class:`~aa_detectron.errors.InputError`.

    A trainer of another project is combined with this one by ``class Mine(Theirs, Trainer)``.
    """

    def __init__(self, cfg: CfgNode):
        check_has_keys(cfg)
        with ddp_options(cfg), explained(cfg.OUTPUT_DIR):
            super().__init__(cfg)
        consistency_is_measured(self.model)

    def run_step(self) -> None:
        with unused_parameters_named(self.model):
            super().run_step()

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Builds the model as Detectron2 does; warns if it lacks the filters of the config."""
        check_has_keys(cfg)
        model = super().build_model(cfg)
        warn_of_missing_filters(model, cfg.MODEL.ANTIALIAS.NAME)
        return model

    def build_hooks(self) -> list[HookBase]:
        # The hooks keep the checkpointer, so it must be replaced before they are built.
        self.checkpointer = AACheckpointer.from_config(
            self.cfg, self.model, trainer=weakref.proxy(self)
        )
        seed = self.cfg.SEED if self.cfg.SEED >= 0 else comm.shared_random_seed()
        hooks = [KeyedSteps(seed), LossNormalizer(), *super().build_hooks()]
        return [FinalCheckpoint(self.checkpointer), *hooks] if comm.is_main_process() else hooks

    def resume_or_load(self, resume: bool = True) -> None:
        """Resumes or loads as Detectron2 does; ``resume`` also cuts metrics.json.

        With ``resume``, metrics.json keeps only the lines from before the checkpoint.

        Raises:
            InputError: the checkpoint does not fit, or another training runs in ``OUTPUT_DIR``.
        """
        with only_training_in(self.cfg.OUTPUT_DIR):
            super().resume_or_load(resume)
            if resume and comm.is_main_process():
                forget_metrics(os.path.join(self.cfg.OUTPUT_DIR, "metrics.json"), self.start_iter)

    def train(self) -> dict | None:
        """Trains; returns the results of the last test, None without a test."""
        continues = begin_at(self.data_loader, self.start_iter)
        if self.start_iter:
            warn_of_inexact_resume(self.cfg, None if continues else "build_train_loader")
        with only_training_in(self.cfg.OUTPUT_DIR), explained(self.cfg.OUTPUT_DIR):
            super().train()
        return getattr(self, "_last_eval_results", None)

    def after_train(self) -> None:
        # Detectron2 counts one iteration too many if nothing was left to train.
        self.iter: int = min(self.iter, self.max_iter)
        super().after_train()

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """See :func:`aa_detectron.engine.solver.build_optimizer`."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
        """See :func:`aa_detectron.engine.solver.build_lr_scheduler`."""
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> DataLoader:
        return build_train_loader(cfg, build_mapper(cfg, True))

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader:
        check_coco_use(dataset_name, for_training=False, needs_masks=cfg.MODEL.MASK_ON)
        return build_detection_test_loader(
            cfg,
            dataset_name,
            mapper=build_mapper(cfg, False),
            batch_size=cfg.TEST.IMS_PER_BATCH,
        )

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """See :func:`aa_detectron.evaluation.build.build_evaluator`."""
        return build_evaluator(cfg, dataset_name)

    @classmethod
    def test(
        cls, cfg: CfgNode, model: nn.Module, evaluators: list[DatasetEvaluator] | None = None
    ) -> dict:
        """Runs Detectron2's test and, if ``TEST.CONSISTENCY.ENABLED``, :meth:`test_consistency`.

        Returns:
            {task: {metric: value}} for a single dataset in ``DATASETS.TEST``; {dataset: {task:
            {metric: value}}} for several datasets, and for other datasets or folders.
        """
        check_has_keys(cfg)
        share_buffers(model)
        with explained(cfg.OUTPUT_DIR), whole_files():
            results = super().test(cfg, model, evaluators)
            is_wanted = cfg.TEST.CONSISTENCY.ENABLED
            consistency = cls.test_consistency(cfg, model) if is_wanted else {}
        return add_consistency(results, consistency, cfg.DATASETS.TEST)

    @classmethod
    def test_consistency(cls, cfg: CfgNode, model: nn.Module) -> dict:
        """Measures consistency under shifts on each of ``TEST.CONSISTENCY.DATASETS``.

        Returns:
            {dataset or folder: {"consistency_bbox", "consistency_segm", "consistency_sem_seg",
            "consistency_classification", and with ``WORST_SHIFT`` "worst_shift_bbox",
            "worst_shift_segm": {metric: number}}} for the outputs that the model has; empty except
            in the main process.

        Raises:
            InputError: the model has none of these outputs.
        """
        check_has_keys(cfg)
        return {
            name: measure_consistency(
                model,
                name,
                ConsistencyOptions.from_config(cfg),
                pair_mapper=build_pair_mapper(cfg),
                window_mapper=ShiftedWindowMapper(cfg),
                num_workers=cfg.DATALOADER.NUM_WORKERS,
                output_dir=inference_folder(cfg),
            )
            for name in cfg.TEST.CONSISTENCY.DATASETS or cfg.DATASETS.TEST
        }
