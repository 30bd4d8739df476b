"""Consistency of classifiers against explicit loops and cases worked out by hand."""

import json
import math

import numpy as np
import pytest

from aa_detectron.consistency.classes import class_pair_record, score_class_pairs


def random_logits(pairs, known=True):
    """(image id, number, offsets, logits of both crops, category) of each pair."""
    generator = np.random.default_rng(5)
    for i in range(pairs):
        first = generator.normal(size=6)
        second = first + generator.normal(size=6) * 0.8
        category = int(np.argmax(first)) if generator.random() < 0.6 else i % 6
        offsets = generator.integers(0, 32, (2, 2)).tolist()
        yield i // 2, i % 2, offsets, first, second, category if known else None


def records_of(cases):
    records = [
        class_pair_record(image, number, offsets, (224, 224), a, b, category)
        for image, number, offsets, a, b, category in cases
    ]
    return json.loads(json.dumps(records))


def test_scores_equal_a_loop():
    cases = list(random_logits(300))
    same = both = either = right = 0
    short = []
    for _, _, ((y0, x0), (y1, x1)), first, second, category in cases:
        labels = []
        for logits in (first, second):
            best = 0
            for label in range(1, 6):
                if logits[label] > logits[best]:
                    best = label
            labels.append(best)
        same += labels[0] == labels[1]
        both += labels[0] == category and labels[1] == category
        either += labels[0] == category or labels[1] == category
        right += (labels[0] == category) + (labels[1] == category)
        if ((y0 - y1) ** 2 + (x0 - x1) ** 2) ** 0.5 <= 4:
            short.append(labels[0] == labels[1])
    scores = score_class_pairs(records_of(cases))
    assert 0 < both < same < 300 and both < either < 300 and 0 < sum(short) < len(short)
    assert scores["consistency"] == pytest.approx(100 * same / 300, rel=1e-14)
    assert scores["correct_consistency"] == pytest.approx(100 * both / either, rel=1e-14)
    assert scores["accuracy"] == pytest.approx(100 * right / 600, rel=1e-14)
    assert scores["consistency-shift-4"] == pytest.approx(100 * sum(short) / len(short), rel=1e-14)
    assert (scores["pairs"], scores["correct_pairs"], scores["empty"]) == (300, either, 0)
    assert scores["low"] < scores["consistency"] < scores["high"]
    assert scores["correct_low"] < scores["correct_consistency"] < scores["correct_high"]


def test_scores_by_hand():
    """Same and right, same and wrong, one right, both wrong and different."""
    labels = [(0, 0, 0), (1, 1, 0), (2, 0, 0), (1, 2, 0)]
    one_hot = np.eye(3)
    records = [
        class_pair_record(i, 0, ((0, 0), (0, 3)), (8, 8), one_hot[a], one_hot[b], category)
        for i, (a, b, category) in enumerate(labels)
    ]
    scores = score_class_pairs(records)
    assert scores["consistency"] == scores["consistency-shift-4"] == 50
    assert (scores["correct_consistency"], scores["correct_pairs"]) == (50, 2)
    assert scores["accuracy"] == 37.5
    assert math.isnan(scores["consistency-shift-8"])


def test_record():
    first, second = np.array([0.0, 0.0]), np.array([math.log(3), 0.0])
    record = class_pair_record("a", 1, ((0, 2), (5, 0)), (224, 220), first, second, 1)
    section = record.pop("classification")
    assert record == {"image_id": "a", "pair": 1, "offsets": [[0, 2], [5, 0]], "size": [224, 220]}
    assert section == {
        "first": {"label": 0, "score": 0.5},  # the lower one of equal logits
        "second": {"label": 0, "score": pytest.approx(0.75)},
        "category": 1,
    }


def test_without_categories():
    cases = list(random_logits(40, known=False))
    scores = score_class_pairs(records_of(cases))
    assert 0 < scores["consistency"] < 100
    assert not {"correct_consistency", "accuracy"}.intersection(scores)
