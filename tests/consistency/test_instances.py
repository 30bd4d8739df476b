"""The metric of instances against cases worked out by hand."""

import json
import math

import numpy as np
import pycocotools.mask as mask_util
import pytest
from helpers import read_pair_record

from aa_detectron.consistency.instances import score_pairs
from aa_detectron.consistency.matching import match_instances
from aa_detectron.consistency.overlap import clip_boxes, cut_masks, mask_areas
from aa_detectron.consistency.shifts import Box, overlap_in_crops
from aa_detectron.errors import InputError

OFFSETS = ((0, 0), (2, 3))  # crops of 20 x 20: 18 x 17 pixels are in both
FIRST_ORIGIN, SECOND_ORIGIN = (2, 3), (0, 0)  # of the overlap, in each crop


def instances(rectangles, classes=None, scores=None, origin=(0, 0), masks=True):
    """Rectangles (y0, x0, y1, x1) in the overlap, as a model would return them for a crop."""
    n = len(rectangles)
    placed = [[y0 + origin[0], x0 + origin[1], y1 + origin[0], x1 + origin[1]]
              for y0, x0, y1, x1 in rectangles]  # fmt: skip
    boxes = [[x0, y0, x1, y1] for y0, x0, y1, x1 in placed]
    result = {
        "boxes": np.array(boxes, np.float32).reshape(n, 4),
        "classes": np.array(classes or [0] * n, int),
        "scores": np.array(scores or [0.9] * n, np.float32),
    }
    if masks:
        result["masks"] = np.zeros((n, 20, 20), bool)
        for i, (y0, x0, y1, x1) in enumerate(placed):
            result["masks"][i, max(y0, 0) : y1, max(x0, 0) : x1] = True
    return result


def record(first, second, image_id=1, number=0, **kwargs):
    first = instances(**first, origin=FIRST_ORIGIN)
    second = instances(**second, origin=SECOND_ORIGIN)
    return read_pair_record(image_id, number, OFFSETS, (20, 20), first, second, **kwargs)


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
        "second": [{"category": 0, "score": 1.0, "area": 1023}],
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


def random_crop(rng, size):
    """Blobs of random pixels, some empty, some that fill the crop."""
    n, (height, width) = int(rng.integers(0, 6)), size
    masks = np.zeros((n, height, width), bool)
    for mask in masks:
        y, x = rng.integers(0, height), rng.integers(0, width)
        part = mask[y : y + rng.integers(0, height + 1), x : x + rng.integers(0, width + 1)]
        part[:] = rng.random(part.shape) < rng.choice([0.5, 0.9, 1])
        mask |= rng.random() < 0.1
    corners = np.sort(rng.uniform(-3, width, (n, 2, 2)), axis=1).reshape(n, 4)
    return {
        "boxes": corners.astype(np.float32),
        "scores": rng.random(n).round(2).astype(np.float32),
        "classes": rng.integers(0, 2, n),
        "masks": masks,
    }


def encode(mask):
    return mask_util.encode(np.asfortranarray(mask, np.uint8))


def dense_section(sides, overlaps, score_thresh, match_class):
    """The "segm" of a record, from dense masks."""
    section = {"first": [], "second": []}
    pixels = {"first": [], "second": []}
    for name, side, box in zip(section, sides, overlaps, strict=True):
        for index, mask in enumerate(side["masks"][(slice(None), *box.slices)]):
            if side["scores"][index] >= np.float32(score_thresh) and mask.any():
                values = int(side["classes"][index]), float(side["scores"][index])
                instance = {"index": index, "category": values[0], "score": values[1]}
                section[name].append(instance | {"area": float(mask.sum())})
                pixels[name].append(mask)
    free = list(range(len(section["second"])))
    for instance in section["first"]:
        instance.update(match=None, iou=0.0)
    order = sorted(range(len(section["first"])), key=lambda i: -section["first"][i]["score"])
    for i in order:
        for j in free:
            a, b = pixels["first"][i], pixels["second"][j]
            iou = np.float64((a & b).sum()) / np.float64((a | b).sum())
            other = section["second"][j]["category"]
            legal = not match_class or section["first"][i]["category"] == other
            if legal and iou > section["first"][i]["iou"]:
                section["first"][i].update(match=j, iou=float(iou))
        free = [j for j in free if j != section["first"][i]["match"]]
    return section


def test_masks_equal_dense_arrays_to_the_last_bit():
    """Random masks, dense and as RLEs, against counts of pixels."""
    rng = np.random.default_rng(0)
    matched = 0
    for case in range(300):
        size = tuple(rng.integers(4, 40, 2).tolist())
        offsets = rng.integers(0, 4, (2, 2)).tolist()
        sides = [random_crop(rng, size) for _ in range(2)]
        if case % 2 and len(sides[0]["scores"]):  # much the same in both
            sides[1] = {key: value.copy() for key, value in sides[0].items()}
            sides[1]["masks"] ^= rng.random(sides[1]["masks"].shape) < 0.05
        gate = bool(rng.random() < 0.5)
        options = {"score_thresh": 0.3, "match_class": gate}
        result = read_pair_record(case, 0, offsets, size, *sides, **options)
        overlaps = overlap_in_crops(*offsets, size)
        assert result["segm"] == dense_section(sides, overlaps, 0.3, gate), case
        matched += sum(i["match"] is not None for i in result["segm"]["first"])
        encoded = [side | {"masks": list(map(encode, side["masks"]))} for side in sides]
        assert read_pair_record(case, 0, offsets, size, *encoded, **options) == result
    assert matched > 200


@pytest.mark.parametrize("size", [(8, 8), (7, 11), (16, 20), (1, 1)])
def test_masks_are_cut(size):
    rng = np.random.default_rng(0)
    masks = rng.random((4, size[0] + 2, size[1] + 3)) < 0.6
    box = Box(1, 2, 1 + size[0], 2 + size[1])
    cut = cut_masks(masks, np.array([3, 1]), box)
    inside = masks[[3, 1]][(slice(None), *box.slices)]
    assert np.array_equal(mask_util.decode(cut).transpose(2, 0, 1), inside)
    assert mask_areas(cut).tolist() == inside.sum((1, 2)).tolist()


def test_index_is_the_place_in_the_output():
    """What does not count may have been left out before."""
    all_of_them = instances([(4, 4, 9, 9), (0, 0, 6, 6)], scores=[0.1, 0.9])
    kept = {key: value[1:] for key, value in all_of_them.items()} | {"index": np.array([1])}
    expected = read_pair_record(1, 0, OFFSETS, (20, 20), all_of_them, all_of_them)
    assert expected["segm"]["first"][0]["index"] == 1
    assert read_pair_record(1, 0, OFFSETS, (20, 20), kept, kept) == expected


def test_index_of_one_crop_only():
    one, other = instances([(0, 0, 5, 5)]), instances([(0, 0, 5, 5)])
    result = read_pair_record(1, 0, OFFSETS, (20, 20), one | {"index": np.array([4])}, other)
    assert [result["bbox"][side][0]["index"] for side in ("first", "second")] == [4, 0]


def test_predictions_that_do_not_fit():
    good = instances([(4, 4, 9, 9), (0, 0, 6, 6)])
    encoded = [mask_util.encode(np.zeros((20, 19), np.uint8, "F"))] * 2
    for bad, message in (
        (
            good | {"boxes": good["boxes"][:1]},
            r"boxes are of shape \(1, 4\), but must be of \(2, 4",
        ),
        (good | {"boxes": np.zeros((4, 5))}, r"boxes are of shape \(4, 5\), but must be of \(2, 4"),
        (good | {"scores": good["scores"] * np.nan}, "scores hold NaN"),
        ({k: v for k, v in good.items() if k != "masks"}, "instances without masks"),
        (good | {"masks": good["masks"][:, 1:]}, "masks are of 19x20 pixels, .* 20x20"),
        (good | {"masks": encoded}, r"mask 0 has size \[20, 19\], .* \[20, 20\]"),
    ):
        with pytest.raises(InputError, match=message):
            read_pair_record(1, 0, OFFSETS, (20, 20), good, bad)


def test_nothing_found_may_have_no_masks():
    nothing = {k: v for k, v in instances([]).items() if k != "masks"}
    result = read_pair_record(1, 0, OFFSETS, (20, 20), nothing, instances([(0, 0, 6, 6)]))
    assert result["segm"]["first"] == [] and len(result["segm"]["second"]) == 1


def test_boxes_are_clipped():
    boxes = np.array([[-5.0, 2.0, 30.0, 8.0]])
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


@pytest.mark.parametrize("thresh", [0.3, 0.7])
def test_a_score_at_the_threshold_that_went_through_a_file(thresh):
    """float32 rounds 0.7 down and 0.3 up; read back in float64 it must count as before."""
    model = instances([(0, 0, 5, 5)], scores=[thresh], masks=False)
    again = model | {"scores": np.array(json.loads(json.dumps(model["scores"].tolist())))}
    assert again["scores"].dtype == np.float64
    for found in (model, again):
        record = read_pair_record(1, 0, OFFSETS, (20, 20), found, found, score_thresh=thresh)
        assert len(record["bbox"]["first"]) == 1
