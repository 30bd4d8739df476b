"""Consistency by shift length."""

import numpy as np
import pytest

from aa_detectron.consistency.classes import class_pair_record, score_class_pairs
from aa_detectron.consistency.curves import drop_curve, drop_curves


def pair(image, length, same):
    """A record of crops ``length`` pixels apart, with the same label or not."""
    logits = np.eye(2)
    return class_pair_record(image, 0, ((0, 0), (0, length)), (8, 8), logits[0], logits[1 - same])


def test_drop_curve_by_hand():
    records = [
        pair(0, 0, 1),
        pair(0, 9, 0),
        pair(1, 1, 1),
        pair(2, 4, 0),
        pair(3, 12, 1),
        pair(4, 4, 1),
    ]
    first, second = drop_curve(records, "classification", width=4)
    assert type(first["low"]) is float
    assert (first["from"], first["to"], first["length"], first["pairs"]) == (0, 4, 3, 3)
    assert first["consistency"] == pytest.approx(200 / 3)
    assert (first["low"], first["high"]) == (0, 100)
    assert (second["from"], second["to"], second["length"], second["pairs"]) == (8, 12, 10.5, 2)
    assert second["consistency"] == 50


def test_drop_curve_keeps_every_pair():
    draw = np.random.default_rng(0).integers
    records = [pair(i, int(draw(1, 30)), int(draw(2))) for i in range(200)]
    curve = drop_curve(records, "classification", width=3)
    assert sum(point["pairs"] for point in curve) == 200
    mean = sum(point["pairs"] * point["consistency"] for point in curve) / 200
    assert mean == pytest.approx(score_class_pairs(records)["consistency"])
    for point in curve:
        assert point["from"] < point["length"] <= point["to"]


def instances_at(length, *ious):
    first = [{"iou": iou} for iou in ious]
    record = {"image_id": length, "offsets": [[0, 0], [0, length]]}
    return record | {"segm": {"first": first}, "bbox": {"first": first[:1]}}


def labels_at(length, equal):
    section = {"pixels": 10, "equal": equal}
    return {"image_id": length, "offsets": [[0, 0], [length, 0]], "sem_seg": section}


def test_every_kind_by_hand():
    """Pairs without an instance, or without a pixel that counts, are in no point."""
    records = [instances_at(3, 0.95, 0.9), instances_at(1, 0.8), instances_at(2), instances_at(9)]
    curves = drop_curves(records)
    assert list(curves) == ["segm", "bbox"]
    (mask,), (box,) = curves["segm"], curves["bbox"]
    assert (mask["length"], mask["pairs"], mask["consistency"]) == (2, 2, 25)
    assert (box["length"], box["pairs"], box["consistency"]) == (2, 2, 50)
    (first, second) = drop_curves([labels_at(1, 9), labels_at(2, 6), labels_at(5, 3)])["sem_seg"]
    assert (first["consistency"], second["consistency"]) == pytest.approx((75, 30))
    assert drop_curves([labels_at(1, 0) | {"sem_seg": {"pixels": 0, "equal": 0}}]) == {}
