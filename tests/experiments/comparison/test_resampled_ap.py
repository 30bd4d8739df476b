"""AP of resamples against COCOeval, which is given every image as often as it was drawn."""

import contextlib
import io
import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from aa_detectron.experiments.comparison.resampled_ap import (
    ap_of_resamples,
    compare_detections,
    count_annotated,
)
from aa_detectron.experiments.comparison.statistics import image_weights

SIDE = 100


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Random objects, some in crowds, and detections of which some are near them."""
    rng = np.random.default_rng(0)
    annotations, found = [], []
    for image in range(12):
        for _ in range(rng.integers(0, 5)):
            box = [*rng.integers(0, 50, 2).tolist(), *rng.integers(10, 50, 2).tolist()]
            category = int(rng.integers(1, 4))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(rng.random() < 0.3),
                    "segmentation": outline(box),
                }
            )
            if rng.random() < 0.8:
                near = (np.array(box) + rng.normal(0, 3, 4)).round(2).tolist()
                found.append(detection(image, category, near, rng))
        stray = [*rng.integers(0, 60, 2).tolist(), 20, 20]
        found.append(detection(image, int(rng.integers(1, 4)), stray, rng))
    truth = {
        "images": [{"id": i, "height": SIDE, "width": SIDE} for i in range(12)],
        "categories": [{"id": c, "name": str(c)} for c in (1, 2, 3)],
        "annotations": annotations,
    }
    folder = tmp_path_factory.mktemp("coco")
    for name, content in (("truth", truth), ("found", found)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder, truth, found


def outline(box):
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def detection(image, category, box, rng):
    (mask,) = mask_util.frPyObjects(outline(box), SIDE, SIDE)
    return {
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "segmentation": mask | {"counts": mask["counts"].decode()},
        "score": float(rng.random()),
    }


def repeated(truth, found, counts):
    """The dataset with each image as often as it counts, under new ids."""
    images, annotations, detections = [], [], []
    for image, count in enumerate(counts):
        for _ in range(count):
            number = len(images)
            images.append({"id": number, "height": SIDE, "width": SIDE})
            annotations += [
                a | {"image_id": number, "id": len(annotations) + n}
                for n, a in enumerate(
                    (a for a in truth["annotations"] if a["image_id"] == image), 1
                )
            ]
            detections += [d | {"image_id": number} for d in found if d["image_id"] == image]
    return truth | {"images": images, "annotations": annotations}, detections


def coco_ap(truth, found, task):
    coco = COCO()
    coco.dataset = truth
    if task == "segm":
        found = [{k: v for k, v in d.items() if k != "bbox"} for d in found]
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return 100 * evaluation.stats[:3]


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_equals_coco(files, task):
    folder, truth, found = files
    compared = compare_detections(str(folder / "truth.json"), str(folder / "found.json"), task)
    assert compared.image_ids == list(range(12))
    weights = image_weights(12, 15)
    scores = ap_of_resamples(compared, weights)
    for row, counts in enumerate(weights):
        expected = coco_ap(*repeated(truth, found, counts), task)
        ours = [scores[name][row] for name in ("AP", "AP50", "AP75")]
        np.testing.assert_allclose(ours, expected, atol=1e-9)
    assert scores["AP"][0] < scores["AP50"][0] < 100
    assert np.ptp(scores["AP"]) > 1


def test_images_with_objects_count(files):
    """An image without objects, or with crowds alone, has no recall."""
    folder, truth, _ = files
    compared = compare_detections(str(folder / "truth.json"), str(folder / "found.json"), "bbox")
    annotated = {a["image_id"] for a in truth["annotations"] if not a["iscrowd"]}
    assert count_annotated(compared) == len(annotated) < 12


def test_without_detections(files, tmp_path):
    (tmp_path / "none.json").write_text("[]")
    arguments = str(files[0] / "truth.json"), str(tmp_path / "none.json")
    for task in ("bbox", "segm"):
        scores = ap_of_resamples(compare_detections(*arguments, task), image_weights(12, 15))
        assert list(scores) == ["AP", "AP50", "AP75"]
        assert all((found == 0).all() and found.shape == (16,) for found in scores.values())
