import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from PIL import Image

from aa_detectron import add_aa_config
from aa_detectron.data.classification import ClassificationMapper
from aa_detectron.data.pairs import ClassificationPairMapper, build_shifted_pair_loader
from aa_detectron.errors import InputError


def config(resize=80, size=64, image_format="RGB"):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.MODEL.META_ARCHITECTURE = "AAImageClassifier"
    cfg.INPUT.FORMAT = image_format
    cfg.INPUT.CLASSIFIER.TEST_RESIZE = resize
    cfg.INPUT.CLASSIFIER.TEST_SIZE = size
    cfg.INPUT.CLASSIFIER.TRAIN_SIZE = 48
    cfg.DATALOADER.NUM_WORKERS = 0
    return cfg


@pytest.fixture
def record(tmp_path):
    """A pixel's place can be read from its color: 2 x row, 2 x column."""
    rows, columns = np.mgrid[:100, :120]
    image = np.stack([2 * rows, 2 * columns, 0 * rows], axis=2).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    return {"file_name": str(tmp_path / "a.png"), "image_id": "a", "category_id": 3}


def test_testing_takes_the_center(record):
    """100 x 120, not resized: the center of 64 x 64 starts at row 18, column 28."""
    mapped = ClassificationMapper(config(resize=100), is_train=False)(record)
    assert mapped["image"].shape == (3, 64, 64) and mapped["image"].dtype == torch.uint8
    assert (mapped["image"][:2, 0, 0] // 2).tolist() == [18, 28]
    assert (mapped["category_id"], mapped["height"], mapped["width"]) == (3, 100, 120)


def test_testing_resizes_the_shorter_side(record):
    mapped = ClassificationMapper(config(resize=50, size=50), is_train=False)(record)
    assert mapped["image"].shape == (3, 50, 50)
    assert abs(int(mapped["image"][1, 0, 0]) / 2 - 10) < 1.5  # (60 - 50) / 2 in pixels of two


def test_format(record):
    rgb = ClassificationMapper(config(), is_train=False)(record)["image"]
    bgr = ClassificationMapper(config(image_format="BGR"), is_train=False)(record)["image"]
    assert torch.equal(bgr, rgb.flip(0)) and not torch.equal(bgr, rgb)


@pytest.mark.parametrize(
    ("flip", "signs"),
    [("horizontal", {(1, 1), (1, -1)}), ("vertical", {(1, 1), (-1, 1)}), ("none", {(1, 1)})],
)
def test_flips(flip, signs, record):
    """Rows and columns rise, or fall where the image is flipped."""
    cfg, found = config(), set()
    cfg.INPUT.RANDOM_FLIP = flip
    mapper = ClassificationMapper(cfg, is_train=True)
    for _ in range(20):
        image = mapper(record)["image"].int()
        down, across = image[0, -1, 24] - image[0, 0, 24], image[1, 24, -1] - image[1, 24, 0]
        found.add((int(down.sign()), int(across.sign())))
    assert found == signs


def test_training_crops_and_flips(record):
    mapper = ClassificationMapper(config(), is_train=True)
    flips, areas = set(), []
    for _ in range(40):
        image = mapper(record)["image"].int()
        assert image.shape == (3, 48, 48)
        across = int(image[1, 24, -1] - image[1, 24, 0])
        down = int(image[0, -1, 24] - image[0, 0, 24])
        flips.add(across < 0)
        areas.append(abs(across) * down / 4 / (100 * 120))
    assert flips == {True, False}
    assert 0.05 < min(areas) < 0.4 < 0.6 < max(areas) <= 1


def test_pair_is_two_crops_of_the_center(record):
    """Center of 80 x 80 after resizing 100 x 120 to 80 x 96, offsets in {0..15}."""
    mapper = ClassificationPairMapper(config())
    center = ClassificationMapper(config(size=80), is_train=False)(record)["image"]
    seen = set()
    for number in range(60):
        first, second = mapper(record | {"pair_number": number})
        assert (first["pair"]["first"], second["pair"]["first"]) == (True, False)
        offsets = first["pair"]["offsets"]
        assert offsets[0] != offsets[1] and offsets == second["pair"]["offsets"]
        for crop, (y, x) in zip((first, second), offsets, strict=True):
            assert torch.equal(crop["image"], center[:, y : y + 64, x : x + 64])
            assert (crop["height"], crop["width"], crop["category_id"]) == (64, 64, 3)
        seen |= {y for y, _ in offsets} | {x for _, x in offsets}
    assert seen == set(range(16))


def test_offsets_are_published_ones(record):
    """{0..31}, where 32 would have room, too."""
    Image.new("RGB", (300, 256)).save(record["file_name"])
    mapper = ClassificationPairMapper(config(256, 224))
    pairs = [mapper(record | {"pair_number": n})[0]["pair"]["offsets"] for n in range(200)]
    assert {v for pair in pairs for offset in pair for v in offset} == set(range(32))


def test_offsets_are_the_images_own_whatever_the_batch(record, tmp_path):
    for name in "bcdef":
        Image.open(record["file_name"]).save(tmp_path / f"{name}.png")
    cfg = config()
    cfg.TEST.CONSISTENCY.PAIRS_PER_IMAGE = 2
    found = []
    for size in (1, 5):
        cfg.TEST.CONSISTENCY.PAIRS_PER_BATCH = size
        crops = [c for batch in build_shifted_pair_loader(cfg, str(tmp_path)) for c in batch]
        found.append([(c["image_id"], c["pair"]) for c in crops])
    assert found[0] == found[1] and len(found[0]) == 24
    assert len({str(pair["offsets"]) for _, pair in found[0]}) == 12


def test_max_shift(record):
    cfg = config()
    cfg.TEST.CONSISTENCY.MAX_SHIFT = 4
    mapper = ClassificationPairMapper(cfg)
    pairs = [mapper(record | {"pair_number": n})[0]["pair"]["offsets"] for n in range(50)]
    assert {v for pair in pairs for offset in pair for v in offset} == set(range(5))


def test_broken_image(record):
    with open(record["file_name"], "rb+") as file:
        file.truncate(100)
    with pytest.raises(InputError, match=record["file_name"]):
        ClassificationMapper(config(), is_train=True)(record)
