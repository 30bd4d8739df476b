import importlib
import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

import aa_detectron  # noqa: F401  registers
from aa_detectron.data.datasets import builtin
from aa_detectron.data.datasets.coco_check import check_coco
from aa_detectron.data.datasets.shapes import CLASSES
from aa_detectron.errors import InputError

GOOD = {
    "images": [{"id": 1, "file_name": "1.png", "height": 4, "width": 4}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}],
    "categories": [{"id": 1, "name": "ring"}],
}


@pytest.fixture
def shapes_at():
    yield builtin.register_all_shapes
    importlib.reload(builtin)  # back to where it was


def test_classes_are_known_without_the_data(shapes_at, tmp_path):
    shapes_at(str(tmp_path))
    for name in ("shapes_train", "shapes_val"):
        meta = MetadataCatalog.get(name)
        assert meta.thing_classes == CLASSES and meta.evaluator_type == "coco"
        assert len(meta.thing_colors) == len(CLASSES)


def test_missing_data_names_file_and_remedy(shapes_at, tmp_path):
    shapes_at(str(tmp_path))
    with pytest.raises(InputError) as error:
        DatasetCatalog.get("shapes_val")
    message = str(error.value)
    assert str(tmp_path / "shapes" / "annotations" / "instances_val.json") in message
    assert "python tools/make_shapes.py" in message and "\n" not in message


def test_reload_follows_the_environment(shapes_at, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(tmp_path))
        importlib.reload(builtin)
        assert MetadataCatalog.get("shapes_train").image_root == str(tmp_path / "shapes" / "train")


def test_loader_is_looked_up_at_call_time(monkeypatch, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD))
    monkeypatch.setattr(builtin.coco, "load_coco_json", lambda *args: args)
    assert builtin.load_checked_coco(str(path), "images", "name") == (str(path), "images", "name")


def test_good_json_passes(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD))
    check_coco(str(path))


@pytest.mark.parametrize(
    "text, found",
    [
        ("", "no whole JSON"),
        (json.dumps(GOOD)[:-5], "no whole JSON"),
        ("[1]", "found a list"),
        ("{}", "found nothing, expected also a list of images and of annotations and of categ"),
        (json.dumps({**GOOD, "categories": None}), "expected also a list of categories"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "categories"}), "of categories"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "images"}), "of images"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "annotations"}), "of annotations"),
        (json.dumps({**GOOD, "categories": []}), "no category"),
        (json.dumps({**GOOD, "images": [{"id": 1}]}), r"images\[0\] without file_name, height"),
        (json.dumps({**GOOD, "annotations": [3]}), r"annotations\[0\] without id"),
    ],
)
def test_bad_json_is_told_in_one_line(tmp_path, text, found):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InputError, match=found) as error:
        check_coco(str(path))
    assert str(path) in str(error.value) and "expected" in str(error.value)
    assert "\n" not in str(error.value)
