"""Training batches that follow from the seed and the iteration, whoever makes them and whenever.

An epoch's order comes from Detectron2's samplers, the augmentation of a sample from its position in
their endless stream. So the batches depend neither on the number of workers nor on where a training
was interrupted.
"""

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, build_detection_train_loader
from detectron2.data.build import trivial_batch_collator
from detectron2.utils import comm
from detectron2.utils.serialize import PicklableWrapper
from torch.utils.data import DataLoader, Dataset, Sampler

from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.utils.keyed_random import keyed_random

from .datasets.check import check_coco_use, check_same_classes
from .images import image_size

Sample = tuple[int, int]
"""Position in the stream of all processes, index in the data set."""

_TRIES = 100
"""Images that a mapper may refuse in turn."""


class KeyedDataset(Dataset):
    """Maps a :data:`Sample`; random numbers that the mapper draws follow from (seed, position).

    An image for which the mapper returns None is replaced by another one.

    Args:
        dataset: of dataset dicts.
        mapper: of Detectron2's kind, without a memory of earlier calls.
        seed: any integer.

    Raises (when indexed):
        InputError: the mapper returns None again and again.
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
        sampler: yields this process's share of an endless stream of indices, every world size-th
            from the rank on, as all of Detectron2's training samplers do.
        batch_size: of this process.
        groups: of each index; a batch holds samples of one group. None for a single group.

    Attributes:
        start: iteration whose batch comes first. No image is touched by those that are left out.
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
        begun = defaultdict(list)
        for position, index in zip(positions, self.sampler, strict=False):
            group = 0 if self.groups is None else self.groups[index]
            begun[group].append((position, index))
            if len(begun[group]) == self.batch_size:
                yield begun.pop(group)


def aspect_ratio_groups(images: list[dict]) -> list[bool]:
    """Detectron2's two groups: whether each image is wider than it is high.

    The sizes are those of the dataset dicts; where these have none, of the files' headers.

    Raises:
        InputError: such a file is missing or no image.
    """

    def is_wide(image: dict) -> bool:
        if "width" in image and "height" in image:
            return image["width"] > image["height"]
        height, width = image_size(image["file_name"])
        return width > height

    return [is_wide(image) for image in images]


def build_train_loader(cfg: CfgNode, mapper: Callable) -> DataLoader:
    """The loader of Detectron2's config keys, its ``batch_sampler`` a :class:`TrainingBatches`.

    Data sets, filtering and every ``DATALOADER.SAMPLER_TRAIN`` are Detectron2's, and so are the
    indices in the batches. A ``SEED`` below 0 stands for a random one.

    Args:
        cfg: of the whole training.
        mapper: see :class:`KeyedDataset`.

    Raises:
        InputError: a data set that cannot be trained on, or has other classes than the first.
        InvalidOption: a batch that cannot be shared evenly among the processes; masks in a format
            other than ``INPUT.MASK_FORMAT``.
    """
    processes = comm.get_world_size()
    if cfg.SOLVER.IMS_PER_BATCH < 1 or cfg.SOLVER.IMS_PER_BATCH % processes:
        legal = f"a multiple of the number of processes, {processes}"
        raise InvalidOption("SOLVER.IMS_PER_BATCH", cfg.SOLVER.IMS_PER_BATCH, legal)
    for name in cfg.DATASETS.TRAIN:
        check_coco_use(
            name,
            for_training=True,
            needs_masks=cfg.MODEL.MASK_ON,
            mask_format=cfg.INPUT.MASK_FORMAT,
        )
    check_same_classes(cfg.DATASETS.TRAIN)
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    with keyed_random(seed, "sampler"):  # samplers without a seed draw one from NumPy
        parts = build_detection_train_loader.from_config(cfg, mapper=mapper)
    images = parts["dataset"]
    is_grouped = cfg.DATALOADER.ASPECT_RATIO_GROUPING
    groups = aspect_ratio_groups(images) if is_grouped else None
    batches = TrainingBatches(parts["sampler"], cfg.SOLVER.IMS_PER_BATCH // processes, groups)
    return DataLoader(
        KeyedDataset(DatasetFromList(images, copy=False), mapper, seed),
        batch_sampler=batches,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=trivial_batch_collator,
        generator=torch.Generator(),  # or it would draw from the global one
    )
