import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from aa_detectron.data.datasets.cifar10 import CLASSES, register_cifar10
from aa_detectron.errors import InputError


@pytest.fixture
def root(tmp_path):
    register_cifar10(str(tmp_path))
    yield tmp_path
    register_cifar10("datasets")


def test_class_folders_in_the_usual_order(root):
    for name in CLASSES:
        folder = root / "cifar10" / "test" / name
        folder.mkdir(parents=True)
        (folder / "0001.jpg").touch()
    records = DatasetCatalog.get("cifar10_test")
    assert [r["category_id"] for r in records] == list(range(10))
    assert records[6]["image_id"] == "frog/0001.jpg"
    assert MetadataCatalog.get("cifar10_test").classes == CLASSES


def test_missing_folder_is_one_line(root):
    with pytest.raises(InputError, match="cifar10/train: cannot be read .*folders of their class"):
        DatasetCatalog.get("cifar10_train")
