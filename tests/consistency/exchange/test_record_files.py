"""Reading of record files."""

import copy
import json
import math

import numpy as np
import pytest
from consistency.models import pixels, squares
from helpers import read_pair_record

from aa_detectron.consistency import evaluate_sweep
from aa_detectron.consistency.classes import class_pair_record
from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.consistency.label_maps import label_pair_record
from aa_detectron.errors import InputError

OFFSETS = ((0, 0), (1, 2))


def records():
    crop = {
        "boxes": np.array([[1.0, 2, 8, 9], [3, 3, 9, 9]]),
        "scores": np.array([0.9, 0.8]),
        "classes": np.array([0, 1]),
        "masks": np.ones((2, 12, 12), bool),
    }
    labels = np.arange(144).reshape(12, 12) % 3
    logits = np.array([0.0, 1.0, np.nan])
    return [
        read_pair_record(1, 0, OFFSETS, (12, 12), crop, crop),
        label_pair_record("a", 1, OFFSETS, labels, labels.T),
        class_pair_record(np.int64(3), 0, OFFSETS, (12, 12), logits[:2], logits[:2], 1),
        class_pair_record(4, 0, OFFSETS, (12, 12), logits[:2], logits[:2]),
        *evaluate_sweep(pixels, [squares()], max_shift=4, stride=2).records[-1:],
    ]


def written(tmp_path, content):
    path = tmp_path / "records.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_what_is_written_can_be_read(tmp_path):
    report = {"name": "x", "pairs": records()}
    assert read_report(written(tmp_path, report)) == report


def test_a_score_that_was_nan(tmp_path):
    pairs = records()
    pairs[3]["classification"]["first"]["score"] = None
    assert read_report(written(tmp_path, {"pairs": pairs}))["pairs"] == pairs


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "Expecting"),
        ("[" * 100000, "recursion"),
        ("[]", r"\[\] is no object"),
        ({"pairs": None}, "pairs is None, but must be a list"),
        ({"pairs": [None]}, r"pairs\[0\] is None, but must be an object"),
    ],
)
def test_files_that_are_none(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=f"{path}: holds no consistency records .*{message}"):
        read_report(path)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="missing.json: holds no consistency records"):
        read_report(tmp_path / "missing.json")


CHANGES = [
    (0, "image_id", None, "a number or text"),
    (0, "image_id", [1], "a number or text"),
    (0, "pair", -1, "an integer from 0"),
    (0, "offsets", [[0, 0]], "a list of 2"),
    (0, "offsets.1.0", math.inf, "a number from 0"),
    (0, "size", 12, "a list"),
    (0, "segm", {}, "an object with 'first'"),
    (0, "segm.first", {}, "a list"),
    (0, "segm.first.1.iou", "x", "a number from 0 to 1"),
    (0, "segm.first.1.iou", math.nan, "a number from 0 to 1"),
    (0, "bbox.first.0.iou", 1.5, "a number from 0 to 1"),
    (0, "bbox.first.0.match", 2, "below 2"),
    (0, "bbox.first.0.match", -1, "an integer from 0, or null"),
    (0, "bbox.second.0.area", 0, "a number above 0"),
    (0, "bbox.second.0.box.2", 0, "a number above 0"),
    (0, "bbox.second.0.score", "high", "a number or null"),
    (0, "bbox.second.0.score", math.inf, "a number or null"),
    (0, "bbox.second.0.area", math.inf, "a number above 0"),
    (0, "bbox.second.0.category", True, "an integer from 0"),
    (1, "sem_seg.pixels", "many", "an integer from 0"),
    (1, "sem_seg.equal", 1000, "at most 110"),
    (1, "sem_seg.per_class.0", [3], "a list of 2"),
    (1, "sem_seg.per_class.0.1", 1000, "at most "),
    (1, "sem_seg.boundary", [1, 9], "at most 1"),
    (4, "sem_seg.every_shift", [4, 9], "at most 4"),
    (4, "sem_seg.every_shift", [4], "a list of 2 or 3"),
    (2, "classification.first", None, "an object"),
    (2, "classification.second.label", 0.5, "an integer from 0"),
    (2, "classification.category", "cat", "an integer from 0, or null"),
]


@pytest.mark.parametrize("number, place, value, legal", CHANGES)
def test_bad_values_are_one_line(tmp_path, number, place, value, legal):
    pairs = copy.deepcopy(records())
    *above, last = place.split(".")
    inner = pairs[number]
    for key in above:
        inner = inner[int(key) if isinstance(inner, list) else key]
    inner[int(last) if isinstance(inner, list) else last] = value
    path = written(tmp_path, {"pairs": pairs})
    with pytest.raises(InputError) as refused:
        read_report(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert f"pairs[{number}]." in message and f"but must be {legal}" in message
