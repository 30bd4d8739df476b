"""Accuracy and consistency of classifiers against loops written out and cases by hand."""

import json
import math

import numpy as np
import pytest
import torch

from aa_detectron.consistency.classes import (
    class_pair_record,
    mask_classes,
    score_class_pairs,
    top_k_correct,
    vid_correct,
)
from aa_detectron.errors import InvalidOption

# -- Top-k ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_top_k_equals_a_loop(k):
    logits = torch.randint(-3, 4, (200, 7)).float()  # ties in every row
    categories = torch.randint(0, 7, (200,))
    right = []
    for row, category in zip(logits.tolist(), categories.tolist(), strict=True):
        before = sum(
            logit > row[category] or (logit == row[category] and other < category)
            for other, logit in enumerate(row)
        )
        right.append(before < k)
    assert top_k_correct(logits, categories, k).tolist() == right
    assert 0 < sum(right) < 200 or k == 9


def test_category_without_logit():
    with pytest.raises(InvalidOption, match="number of logits is 3, but must be at least 4"):
        top_k_correct(torch.zeros(2, 3), torch.tensor([0, 3]), 1)
    assert top_k_correct(torch.zeros(0, 3), torch.tensor([]), 1).sum() == 0


# -- Pairs ---------------------------------------------------------------------------------------


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
        class_pair_record(image, number, offsets, (224, 224), *map(torch.tensor, (a, b)), category)
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
    one_hot = torch.eye(3)
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
    first, second = torch.tensor([0.0, 0.0]), torch.tensor([math.log(3), 0.0])
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


# -- ImageNet-VID --------------------------------------------------------------------------------

# VID class 0 has ImageNet's classes 1 and 2, VID class 1 has 4; 0, 3 and 5 belong to none.
CLASSES_OF_VID = [[1, 2], [4]]


def test_vid_by_hand():
    logits = torch.tensor(
        [
            [9.0, 1, 2, 8, 0, 7],  # 2
            [9.0, 1, 2, 8, 3, 7],  # 4
            [9.0, 1, 2, 8, 3, 7],  # 4
            [-1.0, -5, -6, -1, -7, -1],  # 1
        ]
    )
    annotated = [[0], [0], [0, 1], [1]]
    assert vid_correct(logits, annotated, CLASSES_OF_VID).tolist() == [True, False, True, False]


def test_vid_where_all_logits_of_its_classes_are_negative():
    """Multiplied by a mask of zeros and ones, as published, the others would win with 0."""
    logits = torch.tensor([[-9.0, -3, -4, -9, -2, -9]])  # 4, of VID class 1
    mask = torch.tensor([0.0, 1, 1, 0, 1, 0])
    assert int((logits * mask).argmax()) not in (1, 2, 4)
    assert vid_correct(logits, [[1]], CLASSES_OF_VID).tolist() == [True]
    assert vid_correct(logits, [[0]], CLASSES_OF_VID).tolist() == [False]


def test_vid_equals_a_loop():
    logits = torch.randn(100, 6)
    annotated = [[[0], [1], [0, 1]][i % 3] for i in range(100)]
    right = []
    for row, vid_classes in zip(logits.tolist(), annotated, strict=True):
        best = max((1, 2, 4), key=lambda label, row=row: row[label])
        right.append((best in (1, 2) and 0 in vid_classes) or (best == 4 and 1 in vid_classes))
    assert vid_correct(logits, annotated, CLASSES_OF_VID).tolist() == right
    assert 0 < sum(right) < 100


def test_vid_needs_the_logits_of_imagenet():
    with pytest.raises(InvalidOption, match="number of logits is 4, but must be at least 5"):
        vid_correct(torch.zeros(1, 4), [[0]], CLASSES_OF_VID)


def test_mask_leaves_its_input_alone():
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    assert mask_classes(logits, [1]).tolist() == [[-math.inf, 2, -math.inf]]
    assert logits.tolist() == [[1, 2, 3]]
