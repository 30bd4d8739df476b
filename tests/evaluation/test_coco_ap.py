"""COCOeval taken apart against COCOeval in one piece."""

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from aa_detectron.evaluation.coco_ap import compare, mean_percent, precision, quiet


def dataset(images, rng):
    """Objects in three categories, some in crowds, and boxes near them."""
    truth, found = [], []
    for image in range(images):
        for _ in range(rng.integers(0, 6)):
            box = [*rng.integers(0, 90, 2).tolist(), *rng.integers(5, 110, 2).tolist()]
            item = {"image_id": image, "category_id": int(rng.integers(2, 5)), "bbox": box}
            area, crowd = box[2] * box[3], int(rng.random() < 0.2)
            truth.append(item | {"id": len(truth) + 1, "area": area, "iscrowd": crowd})
            near = (np.array(box) + rng.integers(0, 4, 4)).tolist()
            found.append(item | {"bbox": near, "score": float(rng.random())})
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i, "height": 200, "width": 200} for i in range(images)],
        "categories": [{"id": c} for c in range(1, 5)],
        "annotations": truth,
    }
    with quiet():
        coco.createIndex()
        return coco, coco.loadRes(found)


def test_precision_is_that_of_cocoeval():
    truth, found = dataset(15, np.random.default_rng(0))
    evaluation = COCOeval(truth, found, "bbox")
    with quiet():
        evaluation.evaluate()
        evaluation.accumulate()
    compared = compare(truth, found, "bbox")
    assert compared.image_ids == list(range(15)) and compared.categories == [1, 2, 3, 4]
    ours = precision(compared.images, compared.categories, "bbox")
    expected = evaluation.eval["precision"][..., -1]
    assert np.array_equal(ours, expected) and 10 < mean_percent(ours) < 95
    assert len(set(map(float, expected.mean((0, 1, 2))))) == 4  # area ranges differ
    one = compare(truth, found, "bbox", areas=1)
    assert np.array_equal(precision(one.images, [1, 2, 3, 4], "bbox", areas=1), expected[..., :1])


def test_images_can_be_left_out_and_come_twice():
    """As in a dataset of these images alone."""
    truth, found = dataset(6, np.random.default_rng(1))
    compared = compare(truth, found, "bbox")
    evaluation = COCOeval(truth, found, "bbox")
    evaluation.params.imgIds = [1, 4]
    with quiet():
        evaluation.evaluate()
        evaluation.accumulate()
    chosen = [compared.images[i] for i in (1, 4)]
    assert np.array_equal(
        precision(chosen, compared.categories, "bbox"), evaluation.eval["precision"][..., -1]
    )
    twice = precision(compared.images[:1] * 2, compared.categories, "bbox")
    once = precision(compared.images[:1], compared.categories, "bbox")
    assert mean_percent(twice) == pytest.approx(mean_percent(once))


def test_nothing_annotated():
    assert np.isnan(mean_percent(precision([{}], [1], "bbox")))
