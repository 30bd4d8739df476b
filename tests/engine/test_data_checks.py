"""The datasets of the test of consistency are checked before the training."""

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from helpers import make_small_shapes, small_config
from PIL import Image

from aa_detectron.data.datasets.builtin import register_all_shapes
from aa_detectron.engine.data_checks import check_contents
from aa_detectron.errors import InputError

NAME = "data_checks_test"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    make_small_shapes(root)
    yield root
    register_all_shapes("datasets")


@pytest.fixture
def twins():
    """A dataset with two images of one id."""
    DatasetCatalog.register(NAME, lambda: [{"file_name": f, "image_id": 1} for f in "ab"])
    yield NAME
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def check(tmp_path, name, *options, splits=("TRAIN", "TEST")):
    datasets = ("TEST.CONSISTENCY.DATASETS", f"({str(name)!r},)")
    check_contents(small_config(tmp_path, *datasets, *options), splits)


def test_ids_that_two_images_share(tmp_path, shapes, twins):
    with pytest.raises(InputError, match=f"{NAME}: image_id 1 belongs to a and b"):
        check(tmp_path, twins)
    check(tmp_path, twins, splits=("TRAIN",))
    check(tmp_path, twins, "TEST.CONSISTENCY.ENABLED", "False")


def test_folders(tmp_path, shapes):
    folder = tmp_path / "photographs"
    folder.mkdir()
    with pytest.raises(InputError, match="photographs: no images"):
        check(tmp_path, folder)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(folder / "a.png")
    check(tmp_path, folder)


def test_images_that_are_missing(tmp_path, shapes):
    root = tmp_path / "copy"
    make_small_shapes(root)
    next((root / "shapes" / "val").iterdir()).unlink()
    with pytest.raises(InputError, match="no such image, 1 of 4 are missing"):
        check(tmp_path, "shapes_val", "DATASETS.TEST", "()", "TEST.CONSISTENCY.ENABLED", "True")
    register_all_shapes(str(shapes))
