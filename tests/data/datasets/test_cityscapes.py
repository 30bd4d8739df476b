"""A tree by hand, in the layout that Cityscapes' downloads unpack to."""

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.builtin import register_all_cityscapes
from PIL import Image

from aa_detectron.data.datasets import cityscapes
from aa_detectron.data.datasets.conversion import convert_all
from aa_detectron.data.label_maps import read_label_map
from aa_detectron.data.pairs import get_image_dicts
from aa_detectron.errors import InputError

VAL = "cityscapes_fine_sem_seg_val"
# id, training id and name, as the benchmark's table of labels has them.
LABELS = [
    (7, 0, "road"), (8, 1, "sidewalk"), (11, 2, "building"), (12, 3, "wall"), (13, 4, "fence"),
    (17, 5, "pole"), (19, 6, "traffic light"), (20, 7, "traffic sign"), (21, 8, "vegetation"),
    (22, 9, "terrain"), (23, 10, "sky"), (24, 11, "person"), (25, 12, "rider"), (26, 13, "car"),
    (27, 14, "truck"), (28, 15, "bus"), (31, 16, "train"), (32, 17, "motorcycle"),
    (33, 18, "bicycle"),
]  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """Two cities; a map of all label ids, 0 to 33."""
    ids = np.arange(34, dtype=np.uint8).reshape(2, 17)
    for split, city, number in (("val", "aachen", 0), ("val", "ulm", 1), ("train", "ulm", 2)):
        stem = f"{city}_{number:06d}_000019"
        images = tmp_path / "cityscapes" / "leftImg8bit" / split / city
        labels = tmp_path / "cityscapes" / "gtFine" / split / city
        for folder in (images, labels):
            folder.mkdir(parents=True)
        Image.new("RGB", (17, 2)).save(images / f"{stem}_leftImg8bit.png")
        for kind in ("labelIds", "instanceIds"):
            Image.fromarray(ids).save(labels / f"{stem}_gtFine_{kind}.png")
        (labels / f"{stem}_gtFine_polygons.json").write_text(
            json.dumps({"imgHeight": 2, "imgWidth": 17, "objects": []})
        )
    names = [f"cityscapes_fine_{t}_{s}" for t in ("sem_seg", "instance_seg") for s in
             ("train", "val", "test")]  # fmt: skip
    kept = {n: (DatasetCatalog[n], MetadataCatalog.get(n)) for n in names}
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    register_all_cityscapes(str(tmp_path))
    yield tmp_path
    for name, (load, metadata) in kept.items():
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
        DatasetCatalog.register(name, load)
        MetadataCatalog[name] = metadata


def test_converted_as_the_benchmark_asks(root):
    assert convert_all(cityscapes.plan_cityscapes(str(root))) == 3
    assert convert_all(cityscapes.plan_cityscapes(str(root))) == 0
    expected = np.full(34, 255)
    for label, train_id, _ in LABELS:
        expected[label] = train_id
    for record in DatasetCatalog.get(VAL):
        found = read_label_map(record["sem_seg_file_name"], (record["height"], record["width"]))
        assert found.ravel().tolist() == expected.tolist()


def test_classes_are_detectron2s():
    assert MetadataCatalog.get(VAL).stuff_classes == [name for _, _, name in LABELS]


def test_images_have_ids(root):
    convert_all(cityscapes.plan_cityscapes(str(root)))
    ids = [record["image_id"] for record in get_image_dicts(VAL)]
    assert sorted(ids) == [
        "aachen/aachen_000000_000019_leftImg8bit.png",
        "ulm/ulm_000001_000019_leftImg8bit.png",
    ]


def fail(message):
    with pytest.raises(InputError, match=message) as error:
        get_image_dicts(VAL)
    assert "\n" not in str(error.value)


def test_labels_that_are_not_converted(root):
    fail("labelTrainIds.png: no such file.*prepare_sem_seg.py cityscapes")


def test_missing_folder(root):
    (root / "cityscapes").rename(root / "elsewhere")
    fail("leftImg8bit/val.*: found no images, expected .*_leftImg8bit.png")
    with pytest.raises(InputError, match="gtFine: found no label maps"):
        list(cityscapes.plan_cityscapes(str(root)))


def test_image_without_labels(root):
    convert_all(cityscapes.plan_cityscapes(str(root)))
    path = next((root / "cityscapes" / "gtFine" / "val" / "ulm").glob("*polygons.json"))
    path.unlink()
    fail(f"{path.name}: no such file")


def test_strange_file(root):
    convert_all(cityscapes.plan_cityscapes(str(root)))
    (root / "cityscapes" / "leftImg8bit" / "val" / "ulm" / "readme.txt").write_text("")
    fail("readme.txt: is no image of Cityscapes")
