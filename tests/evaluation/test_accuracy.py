"""Accuracy of classifiers against loops written out and cases by hand."""

import json
import math

import pytest
import torch

from aa_detectron.errors import InvalidOption
from aa_detectron.evaluation.accuracy import (
    ClassificationEvaluator,
    VIDEvaluator,
    mask_classes,
    top_k_correct,
    vid_correct,
)

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


# -- The evaluators --------------------------------------------------------------------------------


def test_counts_over_batches_of_any_size():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(23, 8, generator=generator)
    categories = torch.randint(0, 8, (23,), generator=generator).tolist()
    top1 = sum(row.argmax() == c for row, c in zip(logits, categories, strict=True))
    top5 = sum(int((row > row[c]).sum()) < 5 for row, c in zip(logits, categories, strict=True))
    for size in (1, 4, 23):
        evaluator = ClassificationEvaluator("name")
        evaluator.reset()
        for i in range(0, 23, size):
            evaluator.process(
                [{"category_id": c} for c in categories[i : i + size]],
                [{"logits": row} for row in logits[i : i + size]],
            )
        expected = {"top1": 100 * int(top1) / 23, "top5": 100 * top5 / 23, "images": 23}
        assert evaluator.evaluate() == {"classification": expected}
    assert 0 < top1 < top5 < 23


def test_keeps_every_image(tmp_path):
    evaluator = ClassificationEvaluator("name", str(tmp_path))
    for name, row, category in (("b", [2.0, 1, 0], 0), ("a", [2.0, 1, 0], 2), ("c", [0.0, 1], 1)):
        item, output = {"image_id": name, "category_id": category}, {"logits": torch.tensor(row)}
        evaluator.process([item], [output])
    results = evaluator.evaluate()
    kept = json.loads((tmp_path / "accuracy_name.json").read_text())
    assert kept["results"] == results
    right = {image["image_id"]: (image["top1"], image["top5"]) for image in kept["images"]}
    assert list(right.items()) == [("a", (False, True)), ("b", (True, True)), ("c", (True, True))]


def test_vid_evaluator_by_hand():
    """VID classes are ImageNet's {0} and {2, 3}; 1 belongs to none.

    In the first frame all logits but that of 1 are negative. Times zero, as published, 1 would have
    the highest, 0, and the frame would count as wrong.
    """
    evaluator = VIDEvaluator("name", [[0], [2, 3]])
    evaluator.reset()
    logits = [[-3.0, 9.0, -1.0, -2.0], [1.0, 9.0, 0.0, -2.0], [1.0, 0.0, 0.0, 2.0]]
    annotated = [[1], [1], [0, 1]]
    evaluator.process(
        [{"vid_classes": classes} for classes in annotated],
        [{"logits": torch.tensor(row)} for row in logits],
    )
    assert evaluator.evaluate() == {"vid": {"top1": 100 * 2 / 3, "images": 3}}
