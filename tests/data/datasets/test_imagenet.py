"""ImageNet-1k: its class list, and its layout with a few classes."""

import importlib

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from torchvision.models import ResNet50_Weights

from aa_detectron.data.datasets import builtin, imagenet
from aa_detectron.errors import InputError


@pytest.fixture
def root(tmp_path):
    imagenet.register_imagenet_1k(str(tmp_path))
    yield tmp_path
    importlib.reload(builtin)  # back to where it was


def test_class_list_is_in_torchvisions_order():
    """Its networks were trained on sorted class folders, and it ships their names in that order."""
    wnids = [c["wnid"] for c in imagenet.CLASSES]
    assert wnids == sorted(set(wnids)) and len(wnids) == 1000
    names = [c["name"] for c in imagenet.CLASSES]
    assert names == ResNet50_Weights.IMAGENET1K_V1.meta["categories"]


@pytest.mark.parametrize(
    "index, wnid, name",
    [
        (0, "n01440764", "tench"),
        (134, "n02012849", "crane bird"),
        (207, "n02099601", "golden retriever"),
        (291, "n02129165", "lion"),
        (517, "n03126707", "crane"),
        (999, "n15075141", "toilet tissue"),
    ],
)
def test_wnid_and_name_belong_together(index, wnid, name):
    assert imagenet.CLASSES[index] == {"wnid": wnid, "name": name}


def test_layout(root):
    for split in ("train", "val"):
        for c in imagenet.CLASSES:
            (root / "imagenet" / split / c["wnid"]).mkdir(parents=True)
            (root / "imagenet" / split / c["wnid"] / "1.JPEG").touch()
    for name in ("imagenet_1k_train", "imagenet_1k_val"):
        dicts = DatasetCatalog.get(name)
        assert [d["category_id"] for d in dicts] == list(range(1000))
        assert dicts[291]["image_id"] == "n02129165/1.JPEG"
        metadata = MetadataCatalog.get(name)
        assert metadata.classes[291] == "lion" and metadata.wnids[291] == "n02129165"
        assert metadata.evaluator_type == "classification"
        assert dicts[0]["file_name"].startswith(metadata.image_root)


def test_flat_validation_folder_is_explained(root):
    (root / "imagenet" / "val").mkdir(parents=True)
    (root / "imagenet" / "val" / "ILSVRC2012_val_00000001.JPEG").touch()
    with pytest.raises(InputError) as error:
        DatasetCatalog.get("imagenet_1k_val")
    message = str(error.value)
    assert message.startswith(str(root / "imagenet" / "val"))
    assert "1 images directly in it" in message and "folders of their wnids" in message
    assert "\n" not in message


def test_class_that_is_missing(root):
    (root / "imagenet" / "val" / "n01440764").mkdir(parents=True)
    with pytest.raises(InputError, match="999 of 1000 class folders are missing: 'n01443537'"):
        DatasetCatalog.get("imagenet_1k_val")
