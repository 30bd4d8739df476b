import functools
import itertools
import random

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.common import AspectRatioGroupedDataset
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from PIL import Image

from aa_detectron.data.train_loader import (
    KeyedDataset,
    TrainingBatches,
    aspect_ratio_groups,
    build_train_loader,
)
from aa_detectron.errors import InputError, InvalidOption

NAME = "train_loader_test"
SAMPLERS = [
    "TrainingSampler",
    "RepeatFactorTrainingSampler",
    "RandomSubsetTrainingSampler",
    "WeightedTrainingSampler",
    "WeightedCategoryTrainingSampler",
]


def image(number):
    """A third of the images are upright; the categories are of different frequency."""
    size = {"height": 30 if number % 3 == 0 else 10, "width": 20}
    category = {"category_id": 0 if number else 1, "iscrowd": 0}
    return {"file_name": f"{number}.png", "number": number, "annotations": [category]} | size


@pytest.fixture(autouse=True)
def dataset():
    DatasetCatalog.register(NAME, lambda: [image(number) for number in range(11)])
    MetadataCatalog.get(NAME).thing_classes = ["often", "seldom"]
    yield
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def mapper(dataset_dict):
    """Draws from every generator that an augmentation may use."""
    drawn = random.random(), np.random.rand(), torch.rand((), dtype=float).item()
    return dataset_dict["number"], drawn


def loader(seed=3, workers=0, batch=4, sampler="TrainingSampler", grouped=True, mapper=mapper):
    cfg = get_cfg()
    cfg.SEED = seed
    cfg.DATASETS.TRAIN = (NAME,)
    cfg.DATASETS.TRAIN_REPEAT_FACTOR = [(NAME, 1.5)]
    cfg.DATALOADER.NUM_WORKERS = workers
    cfg.DATALOADER.SAMPLER_TRAIN = sampler
    cfg.DATALOADER.RANDOM_SUBSET_RATIO = 0.5
    cfg.DATALOADER.REPEAT_THRESHOLD = 0.5
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = grouped
    cfg.SOLVER.IMS_PER_BATCH = batch
    return build_train_loader(cfg, mapper)


def batches(count, start=0, **options):
    made = loader(**options)
    made.batch_sampler.start = start
    return list(itertools.islice(made, count))


def numbers(found):
    return [[sample[0] for sample in batch] for batch in found]


@functools.cache
def undisturbed(sampler="TrainingSampler"):
    return batches(12, sampler=sampler)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_make_the_same_batches(workers):
    assert batches(12, workers=workers) == undisturbed()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_starts_anywhere(sampler):
    expected = undisturbed(sampler)
    for start in (1, 7):
        np.random.seed(start)  # samplers that have no seed draw one there
        torch.manual_seed(start)
        assert batches(5, start=start, workers=start % 2, sampler=sampler) == expected[start:][:5]


def test_skipping_opens_no_image():
    mapped = []

    def spy(dataset_dict):
        mapped.append(dataset_dict["number"])
        return mapper(dataset_dict)

    found = batches(1, start=100, mapper=spy)
    assert [mapped] == numbers(found)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_seed(sampler):
    assert batches(12, seed=4, sampler=sampler) != undisturbed(sampler)


def test_every_visit_is_augmented_anew():
    drawn = [sample[1][part] for batch in undisturbed() for sample in batch for part in range(3)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generators_stay(workers):
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    batches(2, workers=workers)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.get_rng_state().tolist() == states[2]


def test_order_and_groups_are_detectron2s():
    """Its grouping of mapped images, over its sampler."""
    images = [image(number) for number in range(11)]
    stream = (images[index] for index in TrainingSampler(11, seed=3))
    reference = itertools.islice(AspectRatioGroupedDataset(stream, 4), 12)
    assert numbers(undisturbed()) == [[d["number"] for d in batch] for batch in reference]
    order = list(itertools.islice(TrainingSampler(11, seed=3), 20))
    expected = [order[i : i + 4] for i in range(0, 20, 4)]
    assert numbers(batches(5, grouped=False)) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_two_processes_share_one_stream(workers, monkeypatch):
    """Without grouping, a step sees the same samples, whatever the number of processes."""
    whole = batches(6, grouped=False)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        shares.append(batches(6, grouped=False, workers=workers))
    assert [a[0:4:2] for a in whole] == shares[0]
    assert [a[1:4:2] for a in whole] == shares[1]


def test_two_processes_with_groups(monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    seen = []
    for rank in (0, 1):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        sampler = TrainingSampler(11, seed=3)
        groups = aspect_ratio_groups([image(number) for number in range(11)])
        for batch in itertools.islice(TrainingBatches(sampler, 3, groups), 8):
            assert len({groups[index] for _, index in batch}) == 1
            seen += batch
    stream = list(itertools.islice(TrainingSampler(11, seed=3)._infinite_indices(), 100))
    assert len(set(seen)) == len(seen)
    assert all(stream[position] == index for position, index in seen)


def test_sizes_from_headers(tmp_path):
    dicts = []
    for number, size in enumerate([(5, 4), (4, 5), (4, 4)]):
        dicts.append({"file_name": str(tmp_path / f"{number}.png")})
        Image.new("L", size).save(dicts[-1]["file_name"])
    assert aspect_ratio_groups(dicts) == [True, False, False]
    with pytest.raises(InputError, match="nowhere.png"):
        aspect_ratio_groups([{"file_name": "nowhere.png"}])


def test_images_that_cannot_be_used_are_replaced():
    def picky(dataset_dict):
        return mapper(dataset_dict) if dataset_dict["number"] > 3 else None

    found = batches(12, mapper=picky)
    assert all(number > 3 for batch in numbers(found) for number in batch)
    assert batches(5, start=7, workers=2, mapper=picky) == found[7:]
    with pytest.raises(InputError, match="returns None for 100 images"):
        KeyedDataset([{}], lambda dataset_dict: None, 0)[0, 0]


def test_without_a_seed():
    first, second = batches(12, seed=-1), batches(12, seed=-1)
    assert first != second


def test_batch_that_cannot_be_shared(monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 3)
    with pytest.raises(InvalidOption, match="IMS_PER_BATCH is 4, but must be a multiple .* 3"):
        loader()
    monkeypatch.undo()
    with pytest.raises(InvalidOption, match="IMS_PER_BATCH is 0"):
        loader(batch=0)


def test_order_of_a_seed_is_the_known_one():
    """Indices of seed 1 over 60 images, of which every third is upright: the order is kept."""
    known = [
        *(25, 1, 14, 11, 35, 28, 4, 56, 59, 58, 8, 40, 13, 38, 22, 50, 48, 3, 15, 21, 18, 39, 51),
        *(57, 19, 10, 29, 34, 44, 32, 16, 43, 55, 5, 37, 17, 2, 47, 7, 20, 45, 33, 36, 12, 24, 6),
        *(27, 54, 23, 26),
    ]
    DatasetCatalog.remove(NAME)
    DatasetCatalog.register(NAME, lambda: [image(number) for number in range(60)])
    made = iter(loader(seed=1, batch=8))
    assert [sample[0] for sample in itertools.chain(*itertools.islice(made, 7))][:50] == known
