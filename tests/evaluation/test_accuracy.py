import json

import torch

from aa_detectron.evaluation import ClassificationEvaluator, VIDEvaluator


def test_counts_over_batches_of_any_size():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(23, 8, generator=generator)
    categories = torch.randint(0, 8, (23,), generator=generator).tolist()
    top1 = sum(row.argmax() == c for row, c in zip(logits, categories, strict=True))
    top5 = sum(int((row > row[c]).sum()) < 5 for row, c in zip(logits, categories, strict=True))
    for size in (1, 4, 23):
        evaluator = ClassificationEvaluator()
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
    evaluator = ClassificationEvaluator(str(tmp_path))
    for name, row, category in (("b", [2.0, 1, 0], 0), ("a", [2.0, 1, 0], 2), ("c", [0.0, 1], 1)):
        item, output = {"image_id": name, "category_id": category}, {"logits": torch.tensor(row)}
        evaluator.process([item], [output])
    results = evaluator.evaluate()
    kept = json.loads((tmp_path / "accuracy.json").read_text())
    assert kept["results"] == results
    right = {image["image_id"]: (image["top1"], image["top5"]) for image in kept["images"]}
    assert list(right.items()) == [("a", (False, True)), ("b", (True, True)), ("c", (True, True))]


def test_vid_by_hand():
    """VID classes are ImageNet's {0} and {2, 3}; 1 belongs to none.

    In the first frame all logits but that of 1 are negative. Times zero, as published, 1 would have
    the highest, 0, and the frame would count as wrong.
    """
    evaluator = VIDEvaluator([[0], [2, 3]])
    evaluator.reset()
    logits = [[-3.0, 9.0, -1.0, -2.0], [1.0, 9.0, 0.0, -2.0], [1.0, 0.0, 0.0, 2.0]]
    annotated = [[1], [1], [0, 1]]
    evaluator.process(
        [{"vid_classes": classes} for classes in annotated],
        [{"logits": torch.tensor(row)} for row in logits],
    )
    assert evaluator.evaluate() == {"vid": {"top1": 100 * 2 / 3, "images": 3}}
