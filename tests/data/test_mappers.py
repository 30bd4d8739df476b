"""Errors of label maps name the file; DeepLab's augmentation keeps image and labels together."""

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import transforms as T
from PIL import Image

from aa_detectron import add_aa_config
from aa_detectron.data.images import image_size
from aa_detectron.data.mappers import CheckedDatasetMapper
from aa_detectron.errors import InputError


@pytest.fixture
def record(tmp_path):
    """Labels that can be told from the image: 1 where it is bright."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:70] = 200
    labels = (image[..., 0] > 0).astype(np.uint8)
    labels[:5] = 255
    paths = {"file_name": tmp_path / "a.png", "sem_seg_file_name": tmp_path / "labels.png"}
    for path, pixels in zip(paths.values(), (image, labels), strict=True):
        Image.fromarray(pixels).save(path)
    return {key: str(path) for key, path in paths.items()}


def config(architecture="SemanticSegmentor", num_classes=2):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.MODEL.META_ARCHITECTURE = architecture
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = num_classes
    cfg.INPUT.MIN_SIZE_TRAIN = (60, 120)
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.TYPE = "absolute"
    cfg.INPUT.CROP.SIZE = (48, 50)
    return cfg


def test_resize_crop_flip(record):
    mapper = CheckedDatasetMapper(config(), True)
    seen = set()
    for _ in range(20):
        mapped = mapper(record)
        assert mapped["image"].shape[-2:] == mapped["sem_seg"].shape == (48, 50)
        bright = mapped["image"][0] > 100
        labeled = mapped["sem_seg"] != 255
        agree = (bright == (mapped["sem_seg"] == 1))[labeled].float().mean()
        assert agree > 0.95  # but for the edges of what was enlarged
        seen.add(int(bright.sum()))
    assert len(seen) > 5


def test_crop_is_drawn_again_while_a_class_covers_it(record):
    cfg = config()
    cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA = 0.5
    crop = CheckedDatasetMapper(cfg, True).augmentations.augs[1]
    assert isinstance(crop, T.RandomCrop_CategoryAreaConstraint)
    assert (crop.single_category_max_area, crop.ignored_category) == (0.5, 255)


def test_detectors_crop_before_they_resize(record):
    augmentations = CheckedDatasetMapper(config("GeneralizedRCNN"), True).augmentations.augs
    assert isinstance(augmentations[0], T.RandomCrop)


@pytest.mark.parametrize("is_train", [True, False])
@pytest.mark.parametrize("architecture", ["SemanticSegmentor", "PanopticFPN"])
def test_illegal_label(record, is_train, architecture):
    cfg = config(architecture)
    cfg.INPUT.CROP.ENABLED = False
    Image.fromarray(np.full((60, 80), 7, np.uint8)).save(record["sem_seg_file_name"])
    with pytest.raises(InputError, match="labels.png: .*7"):
        CheckedDatasetMapper(cfg, is_train)(record)


@pytest.mark.parametrize("is_train", [True, False])
def test_label_map_of_another_size(record, is_train):
    Image.fromarray(np.zeros((60, 79), np.uint8)).save(record["sem_seg_file_name"])
    with pytest.raises(InputError, match="labels.png: .*60x79.*60x80"):
        CheckedDatasetMapper(config(), is_train)(record)


@pytest.mark.parametrize("is_train", [True, False])
@pytest.mark.parametrize("key", ["file_name", "sem_seg_file_name"])
def test_missing_file(record, is_train, key):
    record[key] += ".gone"
    with pytest.raises(InputError, match=record[key]):
        CheckedDatasetMapper(config(), is_train)(record)


@pytest.mark.parametrize("key", ["file_name", "sem_seg_file_name"])
def test_truncated_file(record, key):
    with open(record[key], "rb+") as file:
        file.truncate(60)
    with pytest.raises(InputError, match=record[key]):
        CheckedDatasetMapper(config(), True)(record)


def test_models_without_label_maps_do_not_check_them(record):
    Image.fromarray(np.full((60, 80), 7, np.uint8)).save(record["sem_seg_file_name"])
    mapped = CheckedDatasetMapper(config("GeneralizedRCNN"), False)(record)
    assert isinstance(mapped["image"], torch.Tensor)


def test_broken_chunk(record):
    """Pillow raises a SyntaxError."""
    path = Path(record["file_name"])
    path.write_bytes(path.read_bytes().replace(b"IDAT", b"\0\0\0\0"))
    with pytest.raises(InputError, match=record["file_name"]):
        CheckedDatasetMapper(config(), True)(record)


def test_image_size_heeds_the_cameras_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert image_size(str(tmp_path / "turned.jpg")) == (30, 20)
