"""Scores of files against those of the evaluators that wrote them."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Instances
from helpers import small_config
from PIL import Image

from aa_detectron.consistency.label_maps import label_pair_record, score_label_pairs
from aa_detectron.engine import Trainer
from aa_detectron.errors import InputError
from aa_detectron.evaluation import ClassificationEvaluator, InstanceConsistencyEvaluator
from aa_detectron.experiments.comparison.plan import plan_of_runs
from aa_detectron.experiments.comparison.scores import (
    RESAMPLES,
    miou,
    read_accuracy,
    read_scores,
    warn_of_other_annotations,
)


@pytest.fixture
def data(tmp_path):
    """Four label maps of three classes with pixels to ignore."""
    rng = np.random.default_rng(0)
    items = []
    for number in range(4):
        label, image = tmp_path / f"label_{number}.png", str(tmp_path / f"{number}.png")
        truth = rng.choice([0, 1, 2, 255], (8, 9), p=[0.4, 0.4, 0.1, 0.1]).astype(np.uint8)
        Image.fromarray(truth).save(label)
        items.append({"file_name": image, "image_id": number, "sem_seg_file_name": str(label)})
    name = f"test_scores_{tmp_path.name}"
    DatasetCatalog.register(name, lambda: items)
    MetadataCatalog.get(name).set(
        evaluator_type="sem_seg", stuff_classes=["a", "b", "c"], ignore_label=255
    )
    yield name, items
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def make_run(folder: Path, name: str):
    """A finished run's folder, without results."""
    options = ["DATASETS.TEST", f"('{name}',)", "DATASETS.TRAIN", f"('{name}',)"]
    if MetadataCatalog.get(name).evaluator_type == "sem_seg":
        options += ["MODEL.META_ARCHITECTURE", "SemanticSegmentor"]
        options += ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3"]
    cfg = small_config(folder, *options)
    cfg.TEST.CONSISTENCY.MAX_SHIFT = 2
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(cfg.dump())
    (run,) = plan_of_runs([f"a={folder}"], "out").runs
    return cfg, run


def test_miou_is_that_of_detectron2(data, tmp_path):
    name, items = data
    cfg, run = make_run(tmp_path / "run", name)
    evaluator = Trainer.build_evaluator(cfg, name)
    evaluator.reset()
    outputs = [{"sem_seg": torch.rand(3, 8, 9)} for _ in items]
    evaluator.process(items, outputs)
    expected = evaluator.evaluate()["sem_seg"]["mIoU"]
    score = read_scores(run)["mIoU"]
    assert score.resampled.shape == (1 + RESAMPLES,) and score.image_ids == [
        f"{i}.png" for i in range(4)
    ]
    assert score.resampled[0] == pytest.approx(expected) and expected < 60
    assert score.resampled.std() > 1 and score.counted == 4
    Image.new("L", (9, 8), 255).save(items[2]["sem_seg_file_name"])
    assert read_scores(run)["mIoU"].counted == 3
    score = read_scores(run)["mIoU"]

    for item in items:  # the same data at another place
        item["file_name"] = str(tmp_path / "moved" / Path(item["file_name"]).name)
    np.testing.assert_array_equal(read_scores(run)["mIoU"].resampled, score.resampled)
    items[1]["file_name"] = str(tmp_path / "other" / "0.png")
    with pytest.raises(InputError, match="two images named 0.png"):
        read_scores(run)


def test_annotations_that_have_changed_since_the_test_are_named(data, tmp_path, caplog):
    caplog.set_level(logging.WARNING)  # the evaluator logs its scores
    name, items = data
    cfg, run = make_run(tmp_path / "run", name)
    evaluator = Trainer.build_evaluator(cfg, name)
    evaluator.reset()
    evaluator.process(items, [{"sem_seg": torch.rand(3, 8, 9)} for _ in items])
    written = evaluator.evaluate()["sem_seg"]["mIoU"]
    for older in ([], [{"iteration": 3, "sem_seg/mIoU": 1.0}]):  # of a test during the training
        lines = [*older, {"iteration": 9, "total_loss": 1.0, "sem_seg/mIoU": written}]
        warn_of_other_annotations(run, read_scores(run))
        (run.folder / "metrics.json").write_text("\n".join(map(json.dumps, lines)))
        warn_of_other_annotations(run, read_scores(run))
    assert not caplog.records
    Image.new("L", (9, 8), 1).save(items[2]["sem_seg_file_name"])
    scores = read_scores(run)
    warn_of_other_annotations(run, scores)
    (record,) = caplog.records
    found = scores["mIoU"].resampled[0]
    assert record.getMessage().startswith(
        f"{run.folder}: its mIoU is {found:.3f} with the annotations of {name}, but metrics.json "
        f"has {written:.3f}"
    )
    lines[-1]["sem_seg/mIoU"] = float("nan")  # nothing was detected, for example
    (run.folder / "metrics.json").write_text("\n".join(map(json.dumps, lines)))
    warn_of_other_annotations(run, scores)
    assert len(caplog.records) == 1


def test_miou_leaves_out_classes_that_are_not_annotated():
    confusion = np.array([[[4, 1, 0], [1, 4, 0], [2, 0, 0]]])  # the third is predicted, never there
    assert miou(confusion) == pytest.approx([100 * (4 / 8 + 4 / 6) / 2])


def test_accuracy_and_pairs(data, tmp_path):
    name, items = data
    _, run = make_run(tmp_path / "run", name)
    evaluator = ClassificationEvaluator(name, str(run.inference()))
    logits = torch.rand(4, 3)
    inputs = [item | {"category_id": i % 3} for i, item in enumerate(items)]
    evaluator.process(inputs, [{"logits": row} for row in logits])
    results = evaluator.evaluate()["classification"]
    records = [
        label_pair_record(i, 0, ((0, 0), (1, 1)), *torch.randint(0, 3, (2, 6, 7)).numpy())
        for i in range(4)
    ]
    (run.inference() / f"consistency_sem_seg_{name}.json").write_text(
        json.dumps({"pairs": records})
    )
    scores = read_scores(run)
    assert list(scores) == ["top-1", "mASSC", "mASSC boundary"]
    assert scores["top-1"].resampled[0] == pytest.approx(results["top1"])
    expected = score_label_pairs(records)
    assert scores["mASSC"].resampled[0] == pytest.approx(expected["mASSC"])
    assert scores["mASSC boundary"].resampled[0] == pytest.approx(expected["boundary"])
    assert scores["top-1"].pairs is None and scores["mASSC"].pairs == 4
    assert scores["top-1"].dataset == name and scores["mASSC"].dataset is None
    (run.inference() / f"consistency_sem_seg_{name}.json").write_text(
        json.dumps({"name": name, "pairs": records})
    )
    assert read_scores(run)["mASSC"].dataset == name


def test_consistency_of_instances_is_that_of_the_evaluator(data, tmp_path):
    """All metrics; in one pair nothing is found, in another in one crop only."""
    name, _ = data
    _, run = make_run(tmp_path / "run", name)
    objects = {"boxes": np.array([[2.0, 2, 24, 24]]), "classes": np.array([0])}
    evaluator = InstanceConsistencyEvaluator(
        name, output_dir=str(run.inference()), truth=lambda image_id: objects
    )
    for image in range(20):
        crops, outputs = [], []
        for first in (True, False):
            pair = {"offsets": ((0, 0), (1, 2)), "number": 0, "first": first}
            crops.append({"image_id": image, "pair": pair, "height": 30, "width": 30})
            count = {2: 0, 3: int(not first)}.get(image, 6)
            outputs.append({"instances": random_instances(count)})
        evaluator.process(crops, outputs)
    expected = evaluator.evaluate()
    scores = read_scores(run)
    segm, bbox = expected["consistency_segm"], expected["consistency_bbox"]
    assert len({segm["mAISC50"], segm["mAISC75"], bbox["mAISC75"], bbox["mAISC"]}) == 4
    for ours, theirs in {
        "mask mAISC": segm["mAISC"],
        "mask mAISC75": segm["mAISC75"],
        "mask mAISC50": segm["mAISC50"],
        "mask mAISC symmetric": segm["symmetric"],
        "box mAISC": bbox["mAISC"],
        "box consistent and correct": bbox["consistent_and_correct"],
    }.items():
        assert scores[ours].resampled[0] == pytest.approx(theirs)
    assert 0 < bbox["consistent_and_correct"] < 100
    assert "mask consistent and correct" not in scores  # the objects have no masks
    assert scores["mask mAISC"].pairs == segm["pairs"] == 18
    assert scores["mask mAISC symmetric"].pairs == 19
    assert [scores[f"mask mAISC{kind}"].counted for kind in ("", " symmetric")] == [18, 19]


def random_instances(count):
    from detectron2.structures import Boxes

    found = Instances((30, 30))
    corner, size = torch.randint(0, 4, (count, 2)), torch.randint(20, 26, (count, 2))
    found.pred_boxes = Boxes(torch.cat([corner, corner + size], 1).float())
    found.scores = 0.5 + torch.rand(count) / 2
    found.pred_classes = torch.zeros(count, dtype=torch.long)
    masks = torch.zeros(count, 30, 30, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, found.pred_boxes.tensor.int().tolist(), strict=True):
        mask[y0 + torch.randint(0, 8, ()) : y1, x0:x1] = True
    found.pred_masks = masks
    return found


def test_further_evaluations_give_their_consistency(data, tmp_path):
    name, _ = data
    _, run = make_run(tmp_path / "run", name)
    run = replace(run, evaluations={"near": ()})
    near = run.evaluation_folder("near")
    near.mkdir()
    (near / "config.yaml").write_text((run.folder / "config.yaml").read_text())
    for folder, equal in ((run.inference(), 3), (run.inference("near"), 4)):
        folder.mkdir()
        cut = {"image_id": 1, "pair": 0, "offsets": [[0, 0], [1, 2]], "size": [6, 7]}
        pairs = [cut | {"sem_seg": {"pixels": 4, "equal": equal, "per_class": {}}}]
        path = folder / f"consistency_sem_seg_{name}.json"
        path.write_text(json.dumps({"pairs": pairs}))
    scores = read_scores(run)
    assert {m: s.resampled[0] for m, s in scores.items()} == {"mASSC": 75, "mASSC, near": 100}
    path.unlink()
    with pytest.raises(InputError, match="near/inference: has no consistency of"):
        read_scores(run)


def test_what_was_tested_shows_in_the_scores(data, tmp_path):
    """Other networks give other records of the same test; other offsets or settings another."""
    name, _ = data
    _, run = make_run(tmp_path / "run", name)
    run.inference().mkdir()
    cut = {"image_id": 1, "pair": 0, "offsets": [[0, 0], [1, 2]], "size": [6, 7]}

    def tested(equal=3, settings=None, **changed):
        pairs = [cut | {"sem_seg": {"pixels": 4, "equal": equal, "per_class": {}}} | changed]
        path = run.inference() / f"consistency_sem_seg_{name}.json"
        path.write_text(json.dumps({"pairs": pairs} | (settings or {})))
        return read_scores(run)["mASSC"].tested

    assert tested() == tested(equal=2)
    others = [tested(offsets=[[0, 0], [2, 1]]), tested(size=[6, 8])]
    others += [tested(settings={"ignore_label": 255}), tested(settings={"score_thresh": 0.3})]
    assert len({tested(), *others}) == 5


@pytest.mark.parametrize("masks", [True, False])
def test_ap_of_a_network_that_finds_nothing_is_zero(tmp_path, masks):
    annotations = tmp_path / "truth.json"
    box = {"bbox": [2, 2, 4, 4], "area": 16, "iscrowd": 0}
    if masks:
        box["segmentation"] = [[2, 2, 6, 2, 6, 6]]
    truth = {
        "images": [{"id": i, "width": 9, "height": 9} for i in (1, 2)],
        "annotations": [box | {"id": i, "image_id": i, "category_id": 1} for i in (1, 2)],
        "categories": [{"id": 1, "name": "a"}],
    }
    annotations.write_text(json.dumps(truth))
    MetadataCatalog.get("test_finds_nothing").json_file = str(annotations)
    (tmp_path / "coco_instances_results.json").write_text("[]")
    scores = read_accuracy(tmp_path, "test_finds_nothing")
    MetadataCatalog.remove("test_finds_nothing")
    assert {"box AP", "box AP75"} <= scores.keys() and ("mask AP" in scores) == masks
    assert all((score.resampled == 0).all() for score in scores.values())


def test_refused_in_one_line(data, tmp_path):
    name, _ = data
    cfg, run = make_run(tmp_path / "run", name)
    with pytest.raises(InputError, match="has no results to compare"):
        read_scores(run)
    run.inference().mkdir()
    (run.inference() / f"accuracy_{name}.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_scores(run)
    cfg.DATASETS.TEST = (name, name)
    (run.folder / "config.yaml").write_text(cfg.dump())
    with pytest.raises(InputError, match="must be one dataset"):
        read_scores(run)
    (run.folder / "config.yaml").unlink()
    with pytest.raises(InputError, match="is missing"):
        read_scores(run)
