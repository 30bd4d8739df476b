"""Consistent and correct against cases worked out by hand."""

import numpy as np
import pycocotools.mask as mask_util
import pytest

from aa_detectron.consistency.adapters.predictions import read_prediction
from aa_detectron.consistency.compare import Rules, compare
from aa_detectron.consistency.exchange.record_files import check_record
from aa_detectron.consistency.records import METRICS

OFFSETS = ((0, 0), (10, 20))  # crops of 80 x 80: rows 10 to 80, columns 20 to 80 are in both


def prediction(boxes, classes, scores, offset):
    """Instances whose boxes are in pixels of the image, with masks that fill them."""
    boxes = np.array(boxes, float).reshape(-1, 4) - [*offset[::-1]] * 2
    masks = np.zeros((len(boxes), 80, 80), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int).clip(0), strict=True):
        mask[y0:y1, x0:x1] = True
    scores, classes = np.array(scores, float), np.array(classes, int)
    found = {"boxes": boxes, "classes": classes, "scores": scores, "masks": masks}
    return read_prediction(found, (80, 80), 0.5)


def truth(boxes, classes):
    masks = np.zeros((len(boxes), 90, 100), np.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = 1
    rles = [mask_util.encode(np.asfortranarray(mask)) for mask in masks]
    return {"boxes": np.array(boxes, float), "classes": np.array(classes), "masks": rles}


def found(first, second, objects):
    sides = [prediction(*s, o) for s, o in zip((first, second), OFFSETS, strict=True)]
    record = compare(1, 0, OFFSETS, (80, 80), *sides, Rules(), objects)
    check_record(record)
    masks, boxes = (record[task]["objects"] for task in ("segm", "bbox"))
    assert masks == boxes
    return record, [tuple(o["found"]) for o in boxes]


A, B = [30, 20, 50, 40], [55, 45, 75, 65]


def test_found_by_both_by_one_by_none():
    objects = truth([A, B, [30, 60, 40, 75]], [1, 2, 0])
    record, sides = found(([A, B], [1, 2], [0.9, 0.9]), ([A], [1], [0.9]), objects)
    assert sides == [(True, True), (True, False), (False, False)]
    for shape in ("mask", "box"):
        assert METRICS[f"{shape} consistent and correct"].fraction(record) == 0.5


@pytest.mark.parametrize(
    "second, expected",
    [
        (([A], [1], [0.9]), True),
        (([A], [2], [0.9]), False),  # another class
        (([A], [1], [0.4]), False),  # below the threshold
        (([[30, 20, 50, 30]], [1], [0.9]), True),  # IoU 0.5
        (([[30, 20, 50, 29]], [1], [0.9]), False),
    ],
)
def test_what_finds_an_object(second, expected):
    assert found(([A], [1], [0.9]), second, truth([A], [1]))[1] == [(True, expected)]


def test_objects_that_the_overlap_cuts():
    """Half of the area must be inside, and only that part is to be found."""
    half, less = [10, 20, 30, 40], [9, 50, 30, 70]
    _, sides = found(([half], [0], [0.9]), ([], [], []), truth([half, less], [0, 0]))
    assert sides == [(True, False)]


def test_an_instance_finds_one_object_and_an_object_is_found_once():
    near = [31, 20, 51, 40]
    both = ([A], [1], [0.9])
    assert found(both, ([A, A], [1, 1], [0.9, 0.8]), truth([A, near], [1, 1]))[1] == [
        (True, True),
        (False, True),
    ]


def test_nothing_found_does_not_count():
    record, sides = found(([], [], []), ([], [], []), truth([A], [1]))
    assert sides == [(False, False)]
    assert METRICS["box consistent and correct"].fraction(record) is None
