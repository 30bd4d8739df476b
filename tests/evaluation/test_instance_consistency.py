import json
import math

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.structures import BitMasks, Boxes, Instances
from PIL import Image

from aa_detectron import add_aa_config
from aa_detectron.consistency.adapters.predictions import read_prediction
from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.consistency.instances import pair_record, score_pairs
from aa_detectron.data.pairs import build_shifted_pair_loader
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.evaluation.object_truth import no_truth
from aa_detectron.evaluation.pair_evaluator import InstanceConsistencyEvaluator


class BrightThings:
    """A model without weights: every color of a crop's squares is an instance of its own class.

    Args:
        wavers: does not see things in crops that start at an odd row.
    """

    def __init__(self, wavers=False):
        self.wavers = wavers

    def __call__(self, crops):
        return [{"instances": self._instances(crop)} for crop in crops]

    def _instances(self, crop):
        image = crop["image"][0]
        levels = [v for v in image.unique().tolist() if v > 0]
        if self.wavers and crop["pair"]["offsets"][0 if crop["pair"]["first"] else 1][0] % 2:
            levels = []
        result = Instances(tuple(image.shape))
        result.pred_masks = image == torch.tensor(levels).view(-1, 1, 1)
        result.pred_boxes = BitMasks(result.pred_masks).get_bounding_boxes()
        result.pred_classes = torch.tensor([0 if v < 128 else 1 for v in levels], dtype=torch.long)
        result.scores = torch.full((len(levels),), 0.9)
        return result


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        image = np.zeros((48, 64, 3), np.uint8)
        image[20:29, 15 + number : 31] = 100
        image[24:34, 36:45] = 200
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    return tmp_path


def evaluate(folder, model, output_dir=None, truth=no_truth, **options):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.TEST.CONSISTENCY.PAIRS_PER_IMAGE = 3
    cfg.TEST.CONSISTENCY.update(options)
    evaluator = InstanceConsistencyEvaluator(
        "things", ["dark", "light"], output_dir=output_dir, truth=truth
    )
    return inference_on_dataset(model, build_shifted_pair_loader(cfg, str(folder)), evaluator)


def test_a_model_that_sees_the_pixels_is_consistent(folder):
    results = evaluate(folder, BrightThings())
    assert results.keys() == {"consistency_bbox", "consistency_segm"}
    for scores in results.values():
        assert scores["mAISC"] == scores["symmetric"] == scores["mAISC-light"] == 100
        assert (scores["pairs"], scores["empty"]) == (18, 0)


def test_a_model_that_wavers(folder, tmp_path):
    output = tmp_path / "out"
    scores = evaluate(folder, BrightThings(wavers=True), output)["consistency_segm"]
    pairs = json.loads((output / "consistency_instances_things.json").read_text())["pairs"]
    odd = [[y % 2 for y, x in pair["offsets"]] for pair in pairs]
    both = sum(a == b == 0 for a, b in odd)
    seen = sum(a == 0 for a, _ in odd)
    assert 0 < both < seen < 18
    assert scores["mAISC"] == pytest.approx(100 * both / seen)
    assert (scores["pairs"], scores["empty"]) == (seen, 18 - seen)
    assert scores["low"] < scores["mAISC"] < scores["high"]


def test_scores_can_be_computed_from_the_file(folder, tmp_path):
    output = tmp_path / "out"
    results = evaluate(folder, BrightThings(wavers=True), output)
    report = json.loads((output / "consistency_instances_things.json").read_text())
    for task in ("bbox", "segm"):
        again = score_pairs(report["pairs"], task, report["class_names"])
        kept = results[f"consistency_{task}"]
        assert again.keys() == kept.keys() == report["results"][f"consistency_{task}"].keys()
        for key, value in again.items():
            assert value == kept[key] or (math.isnan(value) and math.isnan(kept[key])), key
    assert [p["image_id"] for p in report["pairs"][::3]] == [f"{i}.png" for i in range(6)]


def test_results_do_not_depend_on_the_batch(folder):
    first = evaluate(folder, BrightThings(wavers=True))
    second = evaluate(folder, BrightThings(wavers=True), PAIRS_PER_BATCH=4)
    np.testing.assert_equal(first, second)


def test_a_threshold_that_no_score_reaches():
    with pytest.raises(InvalidOption, match="score_thresh is nan, but must be a number"):
        InstanceConsistencyEvaluator("nothing", score_thresh=math.nan)


def test_nothing_evaluated():
    assert InstanceConsistencyEvaluator("nothing").evaluate() == {}


def test_unwritable_folder(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="consistency_instances_things.json: cannot be written"):
        evaluate(folder, BrightThings(), tmp_path / "file")


def test_image_ids_of_numpy(folder, tmp_path):
    images = [{"file_name": str(folder / f"{i}.png"), "image_id": np.int64(i)} for i in range(6)]
    DatasetCatalog.register("tests_of_numpy_ids", lambda: images)
    evaluate("tests_of_numpy_ids", BrightThings(), tmp_path / "out")
    DatasetCatalog.remove("tests_of_numpy_ids")
    report = read_report(tmp_path / "out" / "consistency_instances_things.json")
    assert [pair["image_id"] for pair in report["pairs"][::3]] == list(range(6))


@pytest.mark.parametrize("thresh", [0.3, 0.7])
def test_what_does_not_count_stays_on_the_device(thresh):
    """float32 rounds 0.7 down and 0.3 up: a score of the threshold counts all the same."""
    instances = Instances((9, 9))
    instances.scores = torch.tensor([0.1, thresh, 0.9])
    instances.pred_classes = torch.tensor([3, 4, 5])
    instances.pred_boxes = Boxes(torch.arange(12.0).reshape(3, 4))
    instances.pred_masks = torch.rand(3, 9, 9) < 0.5
    found = read_prediction(instances, (9, 9), thresh)
    assert found["index"].tolist() == [1, 2] and found["classes"].tolist() == [4, 5]
    assert np.array_equal(found["masks"], instances.pred_masks[1:].numpy())
    record = pair_record(0, 0, ((0, 0), (0, 1)), (9, 9), found, found)
    assert [i["index"] for i in record["segm"]["second"]] == [1, 2]


def test_objects_of_the_images_are_counted(folder):
    """The second square has the class of the model in even images alone."""

    def truth(image_id):
        number = int(image_id.removesuffix(".png"))
        boxes = np.array([[15.0 + number, 20, 31, 29], [36, 24, 45, 34]])
        return {"boxes": boxes, "classes": np.array([0, 1 - number % 2])}

    scores = evaluate(folder, BrightThings(), truth=truth)
    assert scores["consistency_bbox"]["consistent_and_correct"] == 100
    wavering = evaluate(folder, BrightThings(wavers=True), truth=truth)
    assert wavering["consistency_bbox"]["consistent_and_correct"] < 100
    assert "consistent_and_correct" not in evaluate(folder, BrightThings())["consistency_bbox"]
