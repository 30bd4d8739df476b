"""The test of a model from a LazyConfig: its evaluators, and consistency under shifts."""

from detectron2.data import DatasetMapper
from detectron2.evaluation import DatasetEvaluators, inference_on_dataset, print_csv_format
from detectron2.utils import comm
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from aa_detectron.data.pairs import ShiftedPairMapper
from aa_detectron.data.windows import ShiftedWindowMapper
from aa_detectron.errors import InputError
from aa_detectron.evaluation.build import inference_path
from aa_detectron.evaluation.consistency import add_consistency, measure_consistency

from ..distributed import share_buffers
from ..machine import explained, whole_files
from .checks import consistency_options, dataset_names
from .config import instantiated


def evaluate_lazy(cfg: DictConfig, model: nn.Module) -> dict:
    """Runs ``dataloader.evaluator`` and, if ``consistency.enabled``, the test of consistency.

    Args:
        cfg: config from :func:`~.config.load_lazy_config`.
        model: model that was built from it.

    Returns:
        The results of the evaluator, {task: {metric: value}}, with those of the test of
        consistency. The results for other datasets and folders are under their names.

    Raises:
        InputError: the images of ``dataloader.test`` cannot be cut into pairs.
    """
    share_buffers(model)
    with explained(cfg.train.output_dir), whole_files():
        results = _test_accuracy(cfg, model)
        consistency = _test_consistency(cfg, model) if cfg.consistency.enabled else {}
    return add_consistency(results, consistency, dataset_names(cfg, "test"))


def _test_accuracy(cfg: DictConfig, model: nn.Module) -> dict:
    if OmegaConf.select(cfg, "dataloader.evaluator") is None:
        return {}
    evaluator = instantiated(cfg, "dataloader.evaluator")
    if isinstance(evaluator, list | ListConfig):
        evaluator = DatasetEvaluators(list(evaluator))
    results = inference_on_dataset(model, instantiated(cfg, "dataloader.test"), evaluator)
    if comm.is_main_process():
        print_csv_format(results)
    return results


def _test_consistency(cfg: DictConfig, model: nn.Module) -> dict[str, dict]:
    options = consistency_options(cfg)
    pipeline = _pipeline(cfg)
    return {
        name: measure_consistency(
            model,
            name,
            options,
            pair_mapper=ShiftedPairMapper(
                max_shift=options.max_shift, seed=options.seed, **pipeline
            ),
            window_mapper=ShiftedWindowMapper(**pipeline),
            num_workers=OmegaConf.select(cfg, "dataloader.test.num_workers", default=0),
            output_dir=inference_path(cfg.train.output_dir),
        )
        for name in options.datasets or dataset_names(cfg, "test")
    }


def _pipeline(cfg: DictConfig) -> dict:
    """Augmentations and format of the test images, from the mapper of ``dataloader.test``."""
    mapper = instantiated(cfg, "dataloader.test.mapper")
    if not isinstance(mapper, DatasetMapper):
        raise InputError(
            f"dataloader.test.mapper: is of {type(mapper).__name__}, but must be a DatasetMapper "
            f"of Detectron2 for the test of consistency"
        )
    return {"augmentations": [mapper.augmentations], "image_format": mapper.image_format}
