"""Files of precomputed proposals are checked before Detectron2 unpickles them."""

import os
import pickle

import numpy as np
import pytest
from detectron2.data import DatasetCatalog
from detectron2.structures import BoxMode
from helpers import small_config

from aa_detectron.engine.proposals import check_proposals
from aa_detectron.errors import InputError, InvalidOption

NAME = "proposals_test"
GOOD = {
    "ids": [1, "2"],
    "boxes": [np.zeros((3, 4), np.float32), np.zeros((0, 4), np.float32)],
    "objectness_logits": [np.zeros(3, np.float32), np.zeros(0, np.float32)],
    "bbox_mode": BoxMode.XYXY_ABS,
}


class Trap:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.fixture(autouse=True)
def _data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    DatasetCatalog.register(NAME, lambda: [{"file_name": "a", "image_id": i} for i in (1, 2)])
    yield
    DatasetCatalog.remove(NAME)


def check(content, files="('p.pkl',)"):
    data = content if isinstance(content, bytes) else pickle.dumps(content)
    with open("p.pkl", "wb") as file:
        file.write(data)
    options = ("MODEL.LOAD_PROPOSALS", "True", "DATASETS.TRAIN", f"('{NAME}',)")
    cfg = small_config("out", *options, "DATASETS.PROPOSAL_FILES_TRAIN", files)
    check_proposals(cfg, ("TRAIN",))


def test_good_files_of_either_naming():
    check(GOOD)
    check({"indexes": [1, 2], "boxes": GOOD["boxes"], "scores": GOOD["objectness_logits"]})


@pytest.mark.parametrize(
    "content, message",
    [
        (GOOD | {"boxes": Trap()}, "needs posix.mkdir"),
        (pickle.dumps(GOOD)[:50], "cannot be read as proposals"),
        (b"", "cannot be read as proposals"),
        ([1], "holds a list, but must hold a dict"),
        ({"ids": [1, 2]}, "must have lists ids, boxes, objectness_logits"),
        (GOOD | {"ids": [1]}, "has 1 ids, 2 boxes, 2 objectness_logits"),
        (GOOD | {"ids": [1, 3]}, f"has no proposals for image 2 of {NAME}"),
        (GOOD | {"boxes": [np.zeros((2, 4)), np.zeros((0, 4))]}, "image 1 has boxes"),
        (GOOD | {"boxes": [np.zeros((3, 5)), np.zeros((0, 4))]}, "image 1 has boxes"),
    ],
)
def test_other_files_are_rejected_and_run_nothing(content, message):
    with pytest.raises(InputError, match=f"^p.pkl: .*{message}"):
        check(content)
    assert not os.path.exists("ran")


def test_one_file_for_each_dataset():
    with pytest.raises(InvalidOption, match="DATASETS.PROPOSAL_FILES_TRAIN .* 1 files"):
        check(GOOD, files="()")
    with pytest.raises(InputError, match="nowhere.pkl: .*No such file"):
        check(GOOD, files="('nowhere.pkl',)")
