import json
import math

import pytest

from aa_detectron.errors import InputError
from aa_detectron.utils.files import name_stem, replacing, write_json


def test_replaces_when_the_block_succeeds(tmp_path):
    path = tmp_path / "new" / "file"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole" and len(list(path.parent.iterdir())) == 1


def test_leaves_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("ha")
        raise RuntimeError
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_unwritable(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="below: cannot be written"),
        replacing(tmp_path / "file" / "below"),
    ):
        pass


def test_json_without_nan(tmp_path):
    write_json(tmp_path / "a.json", {"a": [math.nan, 1.5], "b": (2,)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [None, 1.5], "b": [2]}


@pytest.mark.parametrize("name", ["shapes_val", "coco_2017_val_100_panoptic", "a-b.c"])
def test_plain_names_stay(name):
    assert name_stem(name) == name


def test_no_two_names_have_one_file():
    names = [
        "a/b",
        "a_b",
        "a b",
        "./a_b",
        "a_b/",
        "/a_b",
        "../a_b",
        ".",
        "..",
        "",
        "/",
        "x" * 300 + "/",
    ]
    names += ["y" + "x" * 300 + "/", "Bild\udce4r", "Bilder/"]
    stems = [name_stem(name) for name in names]
    assert len(set(stems)) == len(names)
    assert all(0 < len(stem) < 120 and not set(stem) & set("/ ") for stem in stems)
    assert all(not stem.startswith(".") for stem in stems)
