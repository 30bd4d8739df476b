"""The test of consistency of any Detectron2 model, from plain arguments."""

import dataclasses
from collections.abc import Callable, Sequence

from detectron2.config import CfgNode
from detectron2.evaluation import DatasetEvaluators, inference_on_dataset, print_csv_format
from detectron2.utils import comm
from torch import nn

from aa_detectron.data.pairs import make_pair_loader
from aa_detectron.data.windows import ShiftedWindowMapper, make_window_loader
from aa_detectron.errors import InputError
from aa_detectron.utils.memory import MemoryReturningLoader

from .build import describe_pairs, make_consistency_evaluators
from .checks import check_needs
from .worst_shift_evaluator import WorstShiftEvaluator


@dataclasses.dataclass(frozen=True)
class ConsistencyOptions:
    """Options of the test of consistency.

    Every field is a key of ``TEST.CONSISTENCY`` and has the default of that key.

    Args:
        enabled: whether consistency is measured whenever the model is tested.
        datasets: names of datasets, or folders of images; empty for the test datasets.
        max_shift: maximum shift in pixels of the original image, at least 1.
        pairs_per_image: number of pairs of crops per image.
        pairs_per_batch: number of pairs per batch.
        seed: seed of the offsets.
        score_thresh: minimum score of an instance that counts, 0 to 1.
        match_class: whether only instances of the same class can match.
        labelled_only: whether only pixels with a label other than the ignore label count.
        strict: whether an image of a folder that cannot be used ends the test.
        worst_shift: whether AP over the worst shift of each image is also measured.
    """

    enabled: bool = False
    datasets: Sequence[str] = ()
    max_shift: int = 32
    pairs_per_image: int = 1
    pairs_per_batch: int = 1
    seed: int = 0
    score_thresh: float = 0.5
    match_class: bool = True
    labelled_only: bool = False
    strict: bool = False
    worst_shift: bool = False

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "ConsistencyOptions":
        """Reads the options from ``TEST.CONSISTENCY``."""
        return cls(**{key.lower(): value for key, value in cfg.TEST.CONSISTENCY.items()})


def measure_consistency(
    model: nn.Module,
    name: str,
    options: ConsistencyOptions,
    *,
    pair_mapper: Callable[[dict], list[dict]],
    window_mapper: ShiftedWindowMapper,
    num_workers: int = 0,
    output_dir: str | None = None,
) -> dict[str, dict]:
    """Measures consistency under shifts on one dataset or folder of images.

    Args:
        model: model with Detectron2's formats of inputs and outputs.
        name: name of a registered dataset, or path of a folder of images.
        options: options; ``enabled``, ``datasets``, ``max_shift`` and ``seed`` have no effect here.
        pair_mapper: mapper of pairs, which knows the maximum shift and the seed.
        window_mapper: mapper of the windows for worst-shift AP.
        num_workers: number of processes that read images; 0 for this process.
        output_dir: folder of the files with the records; None for no files.

    Returns:
        {"consistency_bbox", "consistency_segm", "consistency_sem_seg",
        "consistency_classification", and with ``worst_shift`` "worst_shift_bbox",
        "worst_shift_segm": {metric: number}} for the outputs that the model has; empty except in
        the main process.

    Raises:
        InputError: the model has none of these outputs.
        InvalidOption: the dataset lacks the label maps or objects that an option needs.
    """
    check_needs(name, labelled_only=options.labelled_only, worst_shift=options.worst_shift)
    loader = make_pair_loader(  # also sets the class names
        name,
        pair_mapper,
        pairs_per_image=options.pairs_per_image,
        pairs_per_batch=options.pairs_per_batch,
        strict=options.strict,
        num_workers=num_workers,
    )
    evaluators = make_consistency_evaluators(
        name,
        output_dir,
        score_thresh=options.score_thresh,
        match_class=options.match_class,
        labelled_only=options.labelled_only,
        pair_settings=describe_pairs(pair_mapper, options.pairs_per_image),
    )
    batches = MemoryReturningLoader(loader)
    results = inference_on_dataset(model, batches, DatasetEvaluators(evaluators))
    if options.worst_shift:
        windows = make_window_loader(
            name, window_mapper, pairs_per_batch=options.pairs_per_batch, num_workers=num_workers
        )
        evaluator = WorstShiftEvaluator(name, output_dir=output_dir)
        results |= inference_on_dataset(model, MemoryReturningLoader(windows), evaluator)
    if comm.is_main_process():
        if not results:
            outputs = '"instances", "sem_seg" or "logits"'
            raise InputError(f"consistency on {name}: the model's outputs have no {outputs}")
        print_csv_format(results)
    return results


def add_consistency(
    results: dict, consistency: dict[str, dict], tested: Sequence[str]
) -> dict[str, dict]:
    """Adds the results of the test of consistency to those of Detectron2's test.

    Args:
        results: {task: {metric: value}} of a single test dataset, {dataset: {task: {metric:
            value}}} of several. It is changed in place.
        consistency: {dataset or folder: {task: {metric: value}}}.
        tested: names of the test datasets.

    Returns:
        ``results``, in the same form. Other datasets and folders keep their names.
    """
    for name, scores in consistency.items():
        if tuple(tested) == (name,):  # as Detectron2 does for a single dataset
            results.update(scores)
        else:
            results.setdefault(name, {}).update(scores)
    return results
