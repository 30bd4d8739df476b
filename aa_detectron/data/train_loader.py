"""Training batches that depend on the seed and the iteration alone.

Detectron2's samplers give an endless stream of images. A sample's position in this stream
determines its augmentation. The batches therefore depend neither on the number of workers nor on
interruptions of the training.
"""

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, build_detection_train_loader
from detectron2.data.build import trivial_batch_collator
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from detectron2.utils.serialize import PicklableWrapper
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler

from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.utils.keyed_random import keyed_random

from .datasets.check import check_coco_use, check_same_classes
from .images import image_size

Sample = tuple[int, int]
"""Position in the stream of all processes, and index in the dataset."""

_TRIES = 100
"""Number of images that a mapper may reject in a row."""


class KeyedDataset(Dataset):
    """Maps a :data:`Sample`; (seed, position) determines the random numbers that the mapper draws.

    An image for which the mapper returns None is replaced by a random other one.

    Args:
        dataset: dataset dicts.
        mapper: mapper as in Detectron2, without state from earlier calls.
        seed: any integer.

    Raises (when indexed):
        InputError: the mapper returns None for too many images in a row.
    """

    def __init__(self, dataset: Sequence[dict], mapper: Callable, seed: int):
        self.dataset = dataset
        self.mapper = PicklableWrapper(mapper)
        self.seed = seed

    def __getitem__(self, sample: Sample) -> dict:
        position, index = sample
        with keyed_random(self.seed, "sample", position):
            for _ in range(_TRIES):
                mapped = self.mapper(self.dataset[index])
                if mapped is not None:
                    return mapped
                index = random.randrange(len(self.dataset))
        raise InputError(f"the mapper returns None for {_TRIES} images in turn")


class TrainingBatches(Sampler):
    """Endless batches of this process, as lists of :data:`Sample`.

    Args:
        sampler: indices of this process. They are every n-th element of an endless stream, from
            element r on, with n processes and rank r. All of Detectron2's training samplers work
            like this.
        batch_size: number of samples in a batch of this process.
        groups: group of each index; a batch holds samples of one group. None for a single group.

    Attributes:
        start: iteration whose batch comes first. Skipping earlier batches reads no image.
    """

    def __init__(self, sampler: Sampler, batch_size: int, groups: Sequence[int] | None = None):
        self.sampler = sampler
        self.batch_size = batch_size
        self.groups = groups
        self.start = 0

    def __iter__(self) -> Iterator[list[Sample]]:
        return itertools.islice(self._all_batches(), self.start, None)

    def _all_batches(self) -> Iterator[list[Sample]]:
        positions = itertools.count(comm.get_rank(), comm.get_world_size())
        begun: defaultdict[int, list[Sample]] = defaultdict(list)
        for position, index in zip(positions, self.sampler, strict=False):
            group = 0 if self.groups is None else self.groups[index]
            begun[group].append((position, index))
            if len(begun[group]) == self.batch_size:
                yield begun.pop(group)


def begin_at(loader: Iterable, iteration: int) -> bool:
    """Makes a loader of :func:`make_train_loader` begin with the batch of an iteration.

    Returns:
        False, if it is another loader, which begins its images anew.
    """
    batches = getattr(loader, "batch_sampler", None)
    if isinstance(batches, TrainingBatches):
        batches.start = iteration
    return isinstance(batches, TrainingBatches)


def aspect_ratio_groups(images: list[dict]) -> list[bool]:
    """Detectron2's two groups: whether each image is wider than it is high.

    The sizes come from the dataset dicts, or from the files' headers where a dict has no size.

    Raises:
        InputError: a file whose header is needed is missing or no image.
    """

    def is_wide(image: dict) -> bool:
        if "width" in image and "height" in image:
            return image["width"] > image["height"]
        height, width = image_size(image["file_name"])
        return width > height

    return [is_wide(image) for image in images]


def build_train_loader(cfg: CfgNode, mapper: Callable) -> DataLoader:
    """Training loader whose ``batch_sampler`` is a :class:`TrainingBatches`.

    It reads Detectron2's config keys. Datasets, filtering, every ``DATALOADER.SAMPLER_TRAIN`` and
    the indices in the batches are as in Detectron2. A ``SEED`` below 0 stands for a random seed.

    Args:
        cfg: config of the training.
        mapper: see :class:`KeyedDataset`.

    Raises:
        InputError: a dataset cannot be trained on, or its classes differ from the first dataset's.
        InvalidOption: the batch size is not a multiple of the number of processes, or masks have
            another format than ``INPUT.MASK_FORMAT``.
    """
    _images_per_process("SOLVER.IMS_PER_BATCH", cfg.SOLVER.IMS_PER_BATCH)
    for name in cfg.DATASETS.TRAIN:
        check_coco_use(
            name,
            for_training=True,
            needs_masks=cfg.MODEL.MASK_ON,
            mask_format=cfg.INPUT.MASK_FORMAT,
        )
    check_same_classes(cfg.DATASETS.TRAIN)
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    # Not every build of Detectron2 gives this sampler the seed of the config.
    is_ours = cfg.DATALOADER.SAMPLER_TRAIN == "TrainingSampler" and cfg.SEED >= 0
    with keyed_random(seed, "sampler"):  # samplers without a seed draw one from NumPy
        parts = build_detection_train_loader.from_config(
            cfg, mapper=mapper, sampler=SequentialSampler([]) if is_ours else None
        )
    return make_train_loader(
        parts["dataset"],
        mapper=mapper,
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
        seed=seed,
        sampler=None if is_ours else parts["sampler"],
        aspect_ratio_grouping=cfg.DATALOADER.ASPECT_RATIO_GROUPING,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def make_train_loader(
    dataset: list[dict],
    *,
    mapper: Callable,
    total_batch_size: int,
    seed: int = -1,
    sampler: Sampler | None = None,
    aspect_ratio_grouping: bool = True,
    num_workers: int = 0,
) -> DataLoader:
    """Makes a training loader whose ``batch_sampler`` is a :class:`TrainingBatches`.

    Apart from ``seed``, the arguments are as in Detectron2's ``build_detection_train_loader``.

    Args:
        dataset: dataset dicts.
        mapper: see :class:`KeyedDataset`.
        total_batch_size: number of images in the batches of all processes.
        seed: seed of the order and the augmentation; below 0 for a random seed.
        sampler: see :class:`TrainingBatches`; None for Detectron2's ``TrainingSampler``.
        aspect_ratio_grouping: whether the images of a batch are all wide or all high.
        num_workers: number of processes that read images; 0 for this process.

    Raises:
        InvalidOption: the batch size is not a multiple of the number of processes.
    """
    size = _images_per_process("total_batch_size", total_batch_size)
    seed = seed if seed >= 0 else comm.shared_random_seed()
    if sampler is None:
        sampler = TrainingSampler(len(dataset), seed=seed)
    groups = aspect_ratio_groups(dataset) if aspect_ratio_grouping else None
    return DataLoader(
        KeyedDataset(DatasetFromList(dataset, copy=False), mapper, seed),
        batch_sampler=TrainingBatches(sampler, size, groups),
        num_workers=num_workers,
        collate_fn=trivial_batch_collator,
        generator=torch.Generator(),  # otherwise it would draw from the global generator
    )


def _images_per_process(option: str, total_batch_size: int) -> int:
    """Divides a batch among the processes; ``option`` is the name for the error."""
    processes = comm.get_world_size()
    if total_batch_size < 1 or total_batch_size % processes:
        legal = f"a multiple of the number of processes, {processes}"
        raise InvalidOption(option, total_batch_size, legal)
    return total_batch_size // processes
