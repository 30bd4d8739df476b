"""Jitter and flicker against cases worked out by hand."""

import math

import numpy as np
import pytest
from helpers import read_pair_record

from aa_detectron.consistency.jitter import score_jitter

OFFSETS = ((0, 0), (0, 0))


def crop(boxes, scores):
    return {
        "boxes": np.array(boxes, float),
        "scores": np.array(scores),
        "classes": [0] * len(boxes),
    }


def test_by_hand():
    # The first moved by (3, 4) and became 2 wider; the second is below IoU 0.5; the third is alone.
    first = crop([[10, 10, 50, 50], [60, 60, 70, 70]], [0.9, 0.8])
    second = crop([[12, 14, 54, 54], [66, 60, 76, 70], [80, 80, 90, 90]], [0.7, 0.8, 0.6])
    scores = score_jitter([read_pair_record(1, 0, OFFSETS, (100, 100), first, second)], "bbox")
    assert scores["partners"] == 1
    assert scores["score_change"] == pytest.approx(20)
    assert scores["drift"] == scores["drift95"] == 5
    assert scores["width_ratio"] == pytest.approx(math.log(42 / 40))
    assert scores["height_ratio"] == 0
    assert scores["flicker"] == pytest.approx(100 * 3 / 5)


def test_percentile_is_over_partners_and_interval_over_images():
    records = []
    for image in range(20):
        first = crop([[10, 10, 50, 50]] * (image % 3 + 1), [0.9] * (image % 3 + 1))
        moved = first | {"boxes": first["boxes"] + [image / 10, 0] * 2}
        records.append(read_pair_record(image, 0, OFFSETS, (100, 100), first, moved))
    drifts = np.repeat(np.arange(20) / 10, [i % 3 + 1 for i in range(20)])
    scores = score_jitter(records, "bbox")
    assert scores["drift"] == pytest.approx(drifts.mean())
    assert scores["drift95"] == pytest.approx(np.percentile(drifts, 95))
    assert scores["drift_low"] < scores["drift"] < scores["drift_high"]


def test_nothing_to_measure():
    nothing = crop(np.zeros((0, 4)), [])
    scores = score_jitter([read_pair_record(1, 0, OFFSETS, (9, 9), nothing, nothing)], "bbox")
    assert scores.pop("partners") == 0
    assert all(map(math.isnan, scores.values()))


def test_records_without_boxes():
    """As written before the field was added."""
    one = crop([[1, 1, 5, 5]], [0.9])
    record = read_pair_record(1, 0, OFFSETS, (9, 9), one, one)
    for side in ("first", "second"):
        del record["bbox"][side][0]["box"]
    scores = score_jitter([record], "bbox")
    assert scores["flicker"] == 0 and "drift" not in scores
