"""Folders of class folders, on small trees of empty files."""

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from aa_detectron.data.datasets.class_folders import (
    load_class_folders,
    register_class_folders,
)
from aa_detectron.data.pairs import get_image_dicts
from aa_detectron.errors import InputError

NAME = "small_class_folders"


@pytest.fixture
def registered(tmp_path):
    yield lambda **kwargs: register_class_folders(NAME, str(tmp_path), **kwargs)
    for catalog in (DatasetCatalog, MetadataCatalog):
        if NAME in catalog.list():
            catalog.remove(NAME)


def make(root, *paths):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_images_by_class_and_name(tmp_path):
    make(tmp_path, "b/2.png", "b/10.JPEG", "a/x.jpg", "a/notes.txt", "a/deeper/y.jpg", "top.png")
    make(tmp_path, "a/.hidden.jpg", ".cache/z.jpg")
    assert load_class_folders(str(tmp_path)) == [
        {"file_name": str(tmp_path / "a" / "x.jpg"), "image_id": "a/x.jpg", "category_id": 0},
        {"file_name": str(tmp_path / "b" / "10.JPEG"), "image_id": "b/10.JPEG", "category_id": 1},
        {"file_name": str(tmp_path / "b" / "2.png"), "image_id": "b/2.png", "category_id": 1},
    ]


def test_order_of_given_classes(tmp_path):
    make(tmp_path, "a/1.png", "b/1.png")
    found = load_class_folders(str(tmp_path), ["b", "a"])
    assert [(d["image_id"], d["category_id"]) for d in found] == [("b/1.png", 0), ("a/1.png", 1)]


@pytest.mark.parametrize(
    "paths, classes, expected",
    [
        ([], None, ["found no folder in it", "<class>/<image>", "sort them"]),
        (
            ["1.png", "2.JPEG", "n.txt"],
            None,
            ["2 images directly in it", "<class>/<image>", "sort"],
        ),
        (["a/1.png", "x/1.png"], ["a"], ["found 'x'", "of the 1 classes: 'a'"]),
        (["a/1.png"], ["a", "b"], ["1 of 2 class folders are missing: 'b'"]),
        (["a/1.png"], list("abcdef"), ["5 of 6 class folders are missing: 'b', 'c', 'd', ..."]),
        (["a/1.png", "b/readme.txt"], None, ["/b: no images in this class folder", ".jpeg"]),
        (["a/1.png", "b/deeper/1.png"], None, ["/b: no images in this class folder"]),
    ],
)
def test_bad_folder_is_one_line(tmp_path, paths, classes, expected):
    make(tmp_path, *paths)
    with pytest.raises(InputError) as error:
        load_class_folders(str(tmp_path), classes, "sort them")
    message = str(error.value)
    assert message.startswith(str(tmp_path)) and "\n" not in message
    for words in expected:
        assert words in message


def test_missing_folder_and_file_for_a_folder(tmp_path):
    with pytest.raises(InputError, match="gone: cannot be read .No such file.*<class>/<image>$"):
        load_class_folders(str(tmp_path / "gone"))
    make(tmp_path, "file")
    with pytest.raises(InputError, match="file: cannot be read .Not a directory"):
        load_class_folders(str(tmp_path / "file"))


def test_registered_without_being_read(tmp_path, registered):
    registered()
    metadata = MetadataCatalog.get(NAME)
    assert (metadata.evaluator_type, metadata.image_root) == ("classification", str(tmp_path))
    make(tmp_path, "b/1.png", "a/1.png")
    assert [d["image_id"] for d in DatasetCatalog.get(NAME)] == ["a/1.png", "b/1.png"]
    assert get_image_dicts(NAME) == DatasetCatalog.get(NAME)


def test_registered_again_with_classes(tmp_path, registered):
    registered()
    registered(classes=["c", "b"])
    assert MetadataCatalog.get(NAME).classes == ["c", "b"]
    make(tmp_path, "b/1.png", "c/1.png")
    assert [d["category_id"] for d in DatasetCatalog.get(NAME)] == [0, 1]
