"""The metric on cases worked out by hand."""

import json
import math

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.structures import Boxes, Instances

from aa_detectron.consistency.instances import (
    clip_boxes,
    mask_areas,
    mask_iou,
    match_instances,
    pack_masks,
    pair_record,
    score_pairs,
)
from aa_detectron.consistency.shifts import Box

OFFSETS = ((0, 0), (2, 3))  # crops of 20 x 20: 18 x 17 pixels are in both
FIRST_ORIGIN, SECOND_ORIGIN = (2, 3), (0, 0)  # of the overlap, in each crop


def instances(rectangles, classes=None, scores=None, origin=(0, 0), masks=True):
    """Rectangles (y0, x0, y1, x1) in the overlap, as a model would return them for a crop."""
    n = len(rectangles)
    result = Instances((20, 20))
    placed = [[y0 + origin[0], x0 + origin[1], y1 + origin[0], x1 + origin[1]]
              for y0, x0, y1, x1 in rectangles]  # fmt: skip
    boxes = [[x0, y0, x1, y1] for y0, x0, y1, x1 in placed]
    result.pred_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(n, 4))
    result.pred_classes = torch.tensor(classes or [0] * n, dtype=torch.int64)
    result.scores = torch.tensor(scores or [0.9] * n, dtype=torch.float32)
    if masks:
        result.pred_masks = torch.zeros(n, 20, 20, dtype=torch.bool)
        for i, (y0, x0, y1, x1) in enumerate(placed):
            result.pred_masks[i, max(y0, 0) : y1, max(x0, 0) : x1] = True
    return result


def record(first, second, image_id=1, number=0, **kwargs):
    first = instances(**first, origin=FIRST_ORIGIN)
    second = instances(**second, origin=SECOND_ORIGIN)
    return pair_record(image_id, number, OFFSETS, first, second, **kwargs)


def scores(*records, task="segm", **kwargs):
    return score_pairs(list(records), task, **kwargs)


def test_the_same_instance_in_both_crops():
    same = {"rectangles": [(4, 4, 14, 14)]}
    result = record(same, same)
    for task in ("segm", "bbox"):
        (found,) = result[task]["first"]
        assert (found["iou"], found["match"], found["area"]) == (1.0, 0, 100)
        assert scores(result, task=task)["mAISC"] == 100


def test_threshold_is_strict():
    # 10 x 10 against 9 x 10 inside it: IoU 0.9, which is not above 0.9.
    result = record({"rectangles": [(0, 0, 10, 10)]}, {"rectangles": [(0, 0, 9, 10)]})
    assert result["segm"]["first"][0]["iou"] == 0.9
    found = scores(result)
    assert (found["mAISC"], found["mAISC75"], found["mAISC50"]) == (0, 100, 100)


def test_only_the_overlap_counts():
    """Masks that differ only in what the other crop does not show are the same."""
    inside = {"rectangles": [(0, 0, 5, 5)]}
    larger = {"rectangles": [(-2, -3, 5, 5)]}  # rows and columns of the first crop alone
    result = record(larger, inside)
    assert result["segm"]["first"][0]["iou"] == 1.0
    assert result["bbox"]["first"][0]["iou"] == 1.0
    assert result["segm"]["first"][0]["area"] == 25


def test_outside_the_overlap_is_dropped():
    outside = {"rectangles": [(-2, -3, 0, 0)]}
    result = record(outside, {"rectangles": []})
    assert result["segm"] == result["bbox"] == {"first": [], "second": []}
    assert math.isnan(scores(result)["mAISC"])
    assert (scores(result)["pairs"], scores(result)["empty"]) == (0, 1)


def test_below_the_score_is_dropped():
    one = {"rectangles": [(0, 0, 5, 5), (6, 6, 9, 9)], "scores": [0.5, 0.49]}
    assert len(record(one, one)["segm"]["first"]) == 1
    assert len(record(one, one, score_thresh=0.3)["segm"]["first"]) == 2


def test_class_gate():
    first = {"rectangles": [(0, 0, 5, 5)], "classes": [0]}
    second = {"rectangles": [(0, 0, 5, 5)], "classes": [1]}
    assert scores(record(first, second))["mAISC"] == 0
    assert record(first, second)["segm"]["first"][0]["match"] is None
    assert scores(record(first, second, match_class=False))["mAISC"] == 100


def test_higher_score_chooses_first_and_a_match_serves_once():
    # Both of b want c 0 (IoUs 0.8 and 1.0). The first, of higher score, takes it; the second is
    # left with c 1 (IoU 1/2).
    matches = match_instances(np.array([0.9, 0.8]), np.array([[0.8, 0.0], [1.0, 0.5]]))
    assert matches == [0, 1]
    assert match_instances(np.array([0.8, 0.9]), np.array([[0.8, 0.0], [1.0, 0.5]])) == [None, 0]


def test_no_overlap_takes_no_match():
    assert match_instances(np.array([0.9, 0.8]), np.array([[0.0], [1.0]])) == [None, 0]


def test_nothing_to_match():
    assert match_instances(np.array([0.9]), np.zeros((1, 0))) == [None]
    assert match_instances(np.zeros(0), np.zeros((0, 3))) == []


def test_mean_over_pairs():
    two, one = {"rectangles": [(0, 0, 8, 8), (9, 9, 15, 15)]}, {"rectangles": [(0, 0, 8, 8)]}
    none = {"rectangles": []}
    # AISC 1/2, 1, (left out), 0; symmetric 2*1/3, 2*1/3, 0, 0.
    records = [record(two, one), record(one, two), record(none, one), record(one, none)]
    found = scores(*records)
    assert found["mAISC"] == pytest.approx(100 * (0.5 + 1 + 0) / 3)
    assert found["symmetric"] == pytest.approx(100 * (2 / 3 + 2 / 3 + 0 + 0) / 4)
    assert (found["pairs"], found["empty"]) == (3, 1)


def test_symmetric_leaves_out_only_what_is_empty_twice():
    none = {"rectangles": []}
    assert math.isnan(scores(record(none, none))["symmetric"])


def test_per_class():
    first = {"rectangles": [(0, 0, 8, 8), (9, 9, 15, 15)], "classes": [0, 2]}
    second = {"rectangles": [(0, 0, 8, 8)], "classes": [0]}
    found = scores(record(first, second), class_names=["cat", "dog", "cow"])
    assert (found["mAISC-cat"], found["mAISC-cow"]) == (100, 0)
    assert math.isnan(found["mAISC-dog"])


def test_per_size():
    def side(area, iou):
        return {"category": 0, "score": 1.0, "area": area, "match": 0, "iou": iou}

    pair = {"image_id": 1, "pair": 0, "offsets": [[0, 0], [0, 5]], "size": [400, 400]}
    pair["segm"] = {
        "first": [side(1023, 1.0), side(1024, 0.0), side(9215, 1.0), side(9216, 0.0)],
        "second": [],
    }
    found = scores(pair)
    assert (found["mAISCs"], found["mAISCm"], found["mAISCl"]) == (100, 50, 0)


def test_per_shift_length():
    one, none = {"rectangles": [(0, 0, 8, 8)]}, {"rectangles": []}
    near, far = record(one, one), record(one, none)
    near["offsets"], far["offsets"] = [[0, 0], [0, 4]], [[0, 0], [3, 4]]
    found = scores(near, far)
    assert (found["mAISC-shift-4"], found["mAISC-shift-8"]) == (100, 0)
    assert math.isnan(found["mAISC-shift-16"])


def test_boxes_without_masks():
    same = {"rectangles": [(0, 0, 8, 8)], "masks": False}
    result = record(same, same)
    assert "segm" not in result
    assert scores(result, task="bbox")["mAISC"] == 100


@pytest.mark.parametrize("size", [(8, 8), (7, 11), (16, 20), (1, 1)])
def test_packed_masks_equal_run_length_encodings(size):
    rng = np.random.default_rng(0)
    masks = [rng.random((n, size[0] + 2, size[1] + 3)) < 0.6 for n in (4, 5)]
    box = Box(1, 2, 1 + size[0], 2 + size[1])
    packed = []
    for side in masks:
        crop = Instances(side.shape[1:], pred_masks=torch.tensor(side))
        packed.append(pack_masks(crop, torch.arange(len(side)), box))
    inside = [
        side[(slice(None), *box.slices)].transpose(1, 2, 0).astype(np.uint8) for side in masks
    ]
    encoded = [mask_util.encode(np.asfortranarray(side)) for side in inside]
    assert np.array_equal(mask_areas(packed[0]), mask_util.area(encoded[0]))
    with np.errstate(invalid="ignore"):  # two empty masks
        ious = np.nan_to_num(mask_iou(*packed))
    assert np.array_equal(ious, mask_util.iou(*encoded, [0] * len(masks[1])))


def test_boxes_are_clipped():
    boxes = Boxes(torch.tensor([[-5.0, 2.0, 30.0, 8.0]]))
    assert clip_boxes(boxes, Box(3, 1, 20, 18)).tolist() == [[0, 0, 17, 5]]


def test_dense_loop_gives_the_same():
    """Random masks and boxes, against the definition written out on dense arrays."""
    rng = np.random.default_rng(0)
    for case in range(20):
        sides = []
        for _ in range(2):
            n = rng.integers(0, 7)
            corners = rng.integers(0, 14, (n, 2))
            sizes = rng.integers(1, 8, (n, 2))
            sides.append({
                "rectangles": [(y, x, y + h, x + w)
                               for (y, x), (h, w) in zip(corners, sizes, strict=True)],
                "classes": rng.integers(0, 2, n).tolist(),
                "scores": rng.random(n).round(3).tolist(),
            })  # fmt: skip
        result = record(*sides, score_thresh=0.2)
        expected = [_dense(sides, 0.2, t) for t in (0.9, 0.5)]
        got = [sum(i["iou"] > t for i in result["segm"]["first"]) for t in (0.9, 0.5)]
        assert got == expected, case


def _dense(sides, score_thresh, threshold):
    masks = []
    for side in sides:
        found = []
        columns = zip(side["rectangles"], side["classes"], side["scores"], strict=True)
        for (y0, x0, y1, x1), category, score in columns:
            mask = np.zeros((18, 17), bool)
            mask[y0:y1, x0:x1] = True
            if score >= score_thresh and mask.any():
                found.append((score, category, mask))
        masks.append(found)
    free = list(range(len(masks[1])))
    consistent = 0
    for _, category, mask in sorted(masks[0], key=lambda m: -m[0]):
        best, best_iou = None, 0
        for index in free:
            _, other_category, other = masks[1][index]
            iou = (mask & other).sum() / (mask | other).sum()
            if other_category == category and iou > best_iou:
                best, best_iou = index, iou
        if best is not None:
            free.remove(best)
        consistent += best_iou > threshold
    return consistent


def test_records_survive_json():
    same = {"rectangles": [(4, 4, 14, 14), (0, 0, 3, 3)]}
    result = record(same, {"rectangles": [(4, 4, 14, 13)]})
    assert json.loads(json.dumps(result)) == result
