"""Files of predictions with values that cannot be: each one line that names the file."""

import json

import numpy as np
import pycocotools.mask as mask_util
import pytest

from aa_detectron.errors import InputError
from aa_detectron.experiments.comparison.predictions import (
    LabelPredictions,
    read_detections,
    read_losses,
    read_top1,
)

MASK = mask_util.encode(np.asfortranarray(np.eye(4, 6, dtype=np.uint8)))
MASK = {"size": MASK["size"], "counts": MASK["counts"].decode()}
DETECTION = {"image_id": 1, "category_id": 3, "score": 0.5, "bbox": [0, 0, 2, 2]}
DETECTION |= {"segmentation": MASK}
ANNOTATIONS = {"images": [{"id": 1, "height": 4, "width": 6}], "categories": [{"id": 3}]}


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "file.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_detections(write):
    assert read_detections(write([DETECTION]), ANNOTATIONS) == [DETECTION]


@pytest.mark.parametrize(
    "changed",
    [{"image_id": 2}, {"image_id": [1]}, {"category_id": 4}, {"score": float("nan")}]
    + [{"score": "x"}, {"bbox": None}, {"bbox": [0, 0, 2]}, {"bbox": [0, 0, 2, float("inf")]}]
    + [{"segmentation": MASK | {"counts": "~~~~"}}, {"segmentation": MASK | {"size": [6, 4]}}]
    + [{"segmentation": "x"}],
)
def test_broken_detections_are_rejected(write, changed):
    with pytest.raises(InputError, match="file.json: detection 1 has"):
        read_detections(write([DETECTION, DETECTION | changed]), ANNOTATIONS)


@pytest.mark.parametrize("text", ["", "{", "null", "{}", "[1]", "[" * 100000])
def test_other_files_are_rejected(write, text):
    for read in (lambda path: read_detections(path, ANNOTATIONS), read_top1):
        with pytest.raises(InputError, match="file.json: ") as rejected:
            read(write(text))
        assert "\n" not in str(rejected.value)


def test_label_maps(write):
    entry = {"file_name": "other/a.png", "category_id": 7, "segmentation": MASK}
    found = LabelPredictions(write([entry]), {7: 2}).labels("a.png", (4, 6))
    np.testing.assert_array_equal(found, 2 * np.eye(4, 6))
    for changed in ({"category_id": 8}, {"segmentation": MASK | {"size": [9, 9]}}):
        predictions = LabelPredictions(write([entry | changed]), {7: 2})
        with pytest.raises(InputError, match="file.json: the prediction for a.png has"):
            predictions.labels("a.png", (4, 6))
    with pytest.raises(InputError, match="has no prediction for b.png"):
        LabelPredictions(write([entry]), {7: 2}).labels("b.png", (4, 6))


@pytest.mark.parametrize("top1", ["x", 2, None])
def test_top1(write, top1):
    record = {"image_id": "a", "top1": True}
    assert read_top1(write({"images": [record]})) == [record]
    with pytest.raises(InputError, match="top1 of image 0"):
        read_top1(write({"images": [record | {"top1": top1}]}))


def test_of_an_iteration_twice_the_later_loss_counts(write):
    lines = [(0, 3.0), (1, 2.0), (2, 1.0), (1, 2.5), (3, 0.5)]
    text = "\n".join(json.dumps({"iteration": i, "total_loss": loss}) for i, loss in lines)
    assert read_losses(write(text)) == {0: 3.0, 1: 2.5, 2: 1.0, 3: 0.5}


@pytest.mark.parametrize(
    "line", ["{", "3", '{"iteration": "1"}', '{"iteration": 1, "total_loss": NaN}']
)
def test_broken_losses_are_rejected(write, line):
    with pytest.raises(InputError, match="file.json: cannot be read"):
        read_losses(write('{"iteration": 0, "total_loss": 1}\n' + line))
