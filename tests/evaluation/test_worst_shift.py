import contextlib
import copy
import io
import json
import math
import pickle

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.structures import BitMasks, Boxes, Instances
from helpers import small_config
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from aa_detectron import add_aa_config
from aa_detectron.consistency.shifts import Box
from aa_detectron.data.datasets.builtin import register_checked_coco
from aa_detectron.data.windows import build_shifted_window_loader
from aa_detectron.engine.checks import check_consistency_config
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.evaluation import WorstShiftEvaluator
from aa_detectron.evaluation.worst_shift import (
    average_precision,
    badness,
    compare_windows,
    cut_annotation,
)

# -- Ground truth in a window --------------------------------------------------------------------


def annotation(box, **others):
    return {"id": 7, "category_id": 1, "bbox": box, "area": 33.5, "iscrowd": 0} | others


def l_shape():
    """A high bar in columns 2 and 3, and a foot in rows 8 and 9 to column 11."""
    mask = np.zeros((20, 20), np.uint8)
    mask[2:10, 2:4] = 1
    mask[8:10, 2:12] = 1
    return mask, [2, 2, 10, 8]


def test_an_object_inside_is_moved():
    mask, box = l_shape()
    cut = cut_annotation(annotation(box), mask, Box(1, 2, 15, 17))
    assert (cut["bbox"], cut["area"], cut["id"]) == ([0, 1, 10, 8], 33.5, 7)
    assert np.array_equal(mask_util.decode(cut["segmentation"]), mask[1:15, 2:17])


def test_an_object_that_is_cut():
    """Only the foot is left: the box is that of what can be seen."""
    mask, box = l_shape()
    cut = cut_annotation(annotation(box), mask, Box(5, 6, 20, 20))
    assert (cut["bbox"], cut["area"]) == ([0, 3, 6, 2], 12)
    without_mask = cut_annotation(annotation(box), None, Box(5, 6, 20, 20))
    assert (without_mask["bbox"], without_mask["area"]) == ([0, 0, 6, 5], 30)


def test_an_object_outside():
    """Of the box there is a part inside, of the mask there is none."""
    mask, box = l_shape()
    assert cut_annotation(annotation(box), mask, Box(2, 5, 7, 15)) is None
    assert cut_annotation(annotation(box), None, Box(2, 5, 7, 15)) is not None
    assert cut_annotation(annotation(box), None, Box(2, 12, 7, 15)) is None


# -- Which window is the worst -------------------------------------------------------------------


def true(box, category=1, **others):
    return {"category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0} | others


def found(box, score, category=1):
    return {"category_id": category, "bbox": box, "score": score}


A, B, FAR = [0, 0, 10, 10], [20, 0, 10, 10], [40, 40, 9, 9]


def sorted_by_badness(*windows):
    compared = compare_windows([w[0] for w in windows], [w[1] for w in windows], "bbox", (60, 60))
    keys = [badness(window, "bbox") for window in compared]
    return sorted(range(len(keys)), key=keys.__getitem__), keys


def test_badness_by_hand():
    order, keys = sorted_by_badness(
        ([true(A)], [found(A, 0.9)]),
        ([true(A), true(B)], [found(A, 0.9)]),  # recall 1/2: 51 of 101 points
        ([true(A)], [found(FAR, 0.9), found(A, 0.8)]),  # precision 1/2
        ([true(A)], []),
        ([true(A)], [found(A, 0.9), found(FAR, 0.4)]),  # the same AP as the first
        ([], [found(FAR, 0.2), found(A, 0.3)]),
        ([], []),
        ([true(A, iscrowd=1)], [found(A, 0.9)]),  # a crowd is neither hit nor missed
    )
    assert order == [3, 2, 1, 4, 0, 5, 6, 7]
    aps, false_positives = zip(*keys, strict=True)
    assert aps[:5] == pytest.approx([100, 100 * 51 / 101, 50, 0, 100])
    assert aps[5:] == (math.inf,) * 3
    assert false_positives == pytest.approx([0, 0, -0.9, 0, -0.4, -0.5, 0, 0])


def test_badness_counts_half_where_some_thresholds_match():
    """IoU 0.75 exactly: right at 0.5 to 0.75, wrong at 0.8 to 0.95."""
    _, keys = sorted_by_badness(([true([0, 0, 10, 8])], [found([0, 0, 10, 6], 0.5)]))
    assert keys[0] == pytest.approx((60, -0.4 * 0.5))


# -- AP over windows -----------------------------------------------------------------------------


def reference(truth, results, task):
    """pycocotools, used as everywhere."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(truth)
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl")
    return {
        k: 100 * v if v >= 0 else math.nan for k, v in zip(names, evaluation.stats, strict=False)
    }


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_ap_is_that_of_pycocotools(task):
    rng = np.random.default_rng(0)

    def instance(box):
        mask = np.zeros((200, 200), np.uint8)
        x, y, w, h = box
        mask[y : y + h, x : x + w] = 1
        mask[y, x] = 0
        encoded = mask_util.encode(np.asfortranarray(mask))
        return {"bbox": [int(v) for v in box], "segmentation": encoded}

    truth, results = [], []
    for _ in range(12):
        boxes = np.concatenate([rng.integers(0, 100, (5, 2)), rng.integers(5, 100, (5, 2))], 1)
        categories = rng.integers(0, 3, 5).tolist()
        truth.append(
            [
                instance(box)
                | {"category_id": c, "area": float(box[2] * box[3]), "iscrowd": n == 4}
                for n, (box, c) in enumerate(zip(boxes, categories, strict=True))
            ]
        )
        results.append(
            [
                instance(box + rng.integers(0, 5, 4))
                | {"category_id": c, "score": float(rng.random())}
                for box, c in zip(boxes, categories, strict=True)
            ]
        )
    windows = [
        window
        for k in range(0, 12, 4)
        for window in compare_windows(truth[k : k + 4], results[k : k + 4], task, (200, 200))
    ]
    images = range(12)
    annotations = [a | {"image_id": k} for k in images for a in truth[k]]
    data = {
        "images": [{"id": k, "height": 200, "width": 200} for k in images],
        "categories": [{"id": c} for c in range(4)],
        "annotations": [a | {"id": 1 + n} for n, a in enumerate(annotations)],
    }
    flat = [r | {"image_id": k} for k in images for r in results[k]]
    if task == "segm":
        flat = [{k: v for k, v in r.items() if k != "bbox"} for r in flat]
    expected = reference(data, flat, task)
    assert average_precision(windows, [0, 1, 2, 3], task) == pytest.approx(expected, nan_ok=True)
    assert 10 < expected["AP"] < 90


# -- The evaluator -------------------------------------------------------------------------------

NAME = "tests_of_worst_shift"


class Seeing:
    """A model without weights: every gray level of a window is an instance.

    Args:
        blind: offsets (y, x), relative to the center window, from which it does not see the
            brightest object of an image.
        ghosts: offsets from which it sees something where there is nothing.
        masks: whether it has masks.
    """

    def __init__(self, blind=(), ghosts=(), masks=True):
        self.blind, self.ghosts, self.masks = blind, ghosts, masks

    def __call__(self, windows):
        return [{"instances": self._instances(window)} for window in windows]

    def _instances(self, item):
        image = item["image"][0]
        center = min(41, min(item["window"]["image_size"]) // 4) // 2
        shift = tuple(offset - center for offset in item["window"]["offset"])
        levels = [v for v in image.unique().tolist() if v > 0]
        if shift in self.blind:
            levels = levels[:-1]
        masks = image == torch.tensor(levels).view(-1, 1, 1)
        if shift in self.ghosts:
            ghost = torch.zeros_like(image, dtype=torch.bool)
            ghost[-3:, -3:] = True
            masks, levels = torch.cat([masks, ghost[None]]), [*levels, 100]
        result = Instances(tuple(image.shape))
        result.pred_boxes = BitMasks(masks).get_bounding_boxes() if len(levels) else Boxes([])
        result.pred_classes = torch.tensor([0 if v < 128 else 1 for v in levels], dtype=torch.long)
        result.scores = torch.full((len(levels),), 0.9)
        if self.masks and levels:
            result.pred_masks = masks
        return result


@pytest.fixture
def dataset(tmp_path):
    """Two images with a dark and a light object each, and one without any."""
    images, annotations = [], []
    for number in range(3):
        pixels = np.zeros((64, 64, 3), np.uint8)
        objects = {3: [20, 20, 12, 9], 9: [36, 30, 8, 10 + number]} if number < 2 else {}
        for category, (x, y, w, h) in objects.items():
            pixels[y : y + h, x : x + w] = 90 if category == 3 else 200
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                {
                    "id": len(annotations),  # from 0, which COCOeval does not take for an object
                    "image_id": number,
                    "category_id": category,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [corners],
                }
            )
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 64, "width": 64})
    categories = [{"id": 3, "name": "dark"}, {"id": 9, "name": "light"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "all.json").write_text(json.dumps(content))
    register_checked_coco(NAME, {}, str(tmp_path / "all.json"), str(tmp_path))
    yield tmp_path
    DatasetCatalog.remove(NAME)


def evaluate(model, output=None):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.TEST.CONSISTENCY.PAIRS_PER_BATCH = 3
    evaluator = WorstShiftEvaluator(NAME, output_dir=output)
    return inference_on_dataset(model, build_shifted_window_loader(cfg, NAME), evaluator)


def shifts(output, task="segm"):
    images = json.loads((output / f"worst_shift_{NAME}.json").read_text())["images"]
    return {image["image_id"]: tuple(image[task]) for image in images}


def test_a_model_that_sees_the_pixels(dataset):
    results = evaluate(Seeing())
    assert results.keys() == {"worst_shift_bbox", "worst_shift_segm"}
    for scores in results.values():
        assert scores["AP"] == scores["unshifted_AP"] == pytest.approx(100)
        assert math.isnan(scores["APl"]) and scores["images"] == 3


@pytest.mark.parametrize("shift", [(-1, 0), (0, 2), (0, 5)])
def test_one_bad_shift_is_enough(shift, dataset, tmp_path):
    """At it, one of two classes is missed in both images: AP falls by half."""
    scores = evaluate(Seeing(blind=[shift]), tmp_path)["worst_shift_segm"]
    assert scores["AP"] == pytest.approx(50)
    assert scores["unshifted_AP"] == pytest.approx(100)
    found = shifts(tmp_path)
    assert found[0] == found[1] == shift


def test_the_center_is_not_among_the_shifts(dataset):
    scores = evaluate(Seeing(blind=[(0, 0)]))["worst_shift_bbox"]
    assert scores["AP"] == pytest.approx(100) and scores["unshifted_AP"] == pytest.approx(50)


def test_false_positives_where_nothing_is(dataset, tmp_path):
    """They decide in the image without objects, and among equals."""
    evaluate(Seeing(ghosts=[(-5, 0)], blind=[(1, 0)]), tmp_path)
    found = shifts(tmp_path)
    assert found == {0: (1, 0), 1: (1, 0), 2: (-5, 0)}


def test_model_without_masks(dataset):
    results = evaluate(Seeing(masks=False))
    assert results.keys() == {"worst_shift_bbox"}
    assert results["worst_shift_bbox"]["AP"] == pytest.approx(100)


def test_objects_without_masks(dataset):
    path = dataset / "all.json"
    content = json.loads(path.read_text())
    del content["annotations"][0]["segmentation"]
    path.write_text(json.dumps(content))
    assert evaluate(Seeing(masks=False))["worst_shift_bbox"]["AP"] == pytest.approx(100)
    with pytest.raises(InputError, match="all.json: an object in image 0 has no mask"):
        evaluate(Seeing())


def test_scores_that_are_nan(dataset):
    def model(windows):
        outputs = Seeing()(windows)
        for output in outputs:
            output["instances"].scores *= torch.nan
        return outputs

    with pytest.raises(InputError, match=r"\.png: scores hold NaN"):
        evaluate(model)


def test_no_dense_mask_is_kept(dataset):
    """Those of the 21 windows of an image would take half a gigabyte."""
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.DATALOADER.NUM_WORKERS = 0
    evaluator, model, begun = WorstShiftEvaluator(NAME), Seeing(), 0
    for batch in build_shifted_window_loader(cfg, NAME):
        evaluator.process(batch, model(batch))
        begun = max(begun, len(evaluator._begun))
        kept = pickle.dumps(evaluator._begun)
        assert len(kept) < 600 * len(batch) * max(1, len(evaluator._begun))
        assert b"torch" not in kept
    assert begun > 1


def test_needs_objects(dataset, tmp_path):
    for name in ("shapes_sem_seg_val", str(dataset)):
        cfg = small_config(
            tmp_path, "TEST.CONSISTENCY.WORST_SHIFT", "True",
            "TEST.CONSISTENCY.DATASETS", f"('{name}',)",
        )  # fmt: skip
        with pytest.raises(InvalidOption, match="WORST_SHIFT is True, but must be False for"):
            check_consistency_config(cfg)
