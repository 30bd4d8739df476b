import json
import math
import os
import stat

import pytest

from aa_detectron.errors import InputError
from aa_detectron.utils.files import check_can_be_written, name_stem, replacing, write_json


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


def test_a_link_stays(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with replacing(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 2


def test_only_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, found in ((tmp_path, "a folder"), (tmp_path / "pipe", "no regular file")):
        for write in (check_can_be_written, lambda path: replacing(path).__enter__()):
            with pytest.raises(InputError, match=f"is {found}, but a file is written here"):
                write(path)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_check_before_a_long_computation(tmp_path):
    check_can_be_written(tmp_path / "new" / "file")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("old")
    check_can_be_written(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"
    with pytest.raises(InputError, match="below: cannot be written"):
        check_can_be_written(tmp_path / "file" / "below")


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
