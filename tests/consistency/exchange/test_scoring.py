"""Scores of predictions on disk, made without torch and Detectron2."""

import json

import numpy as np
import pytest
from consistency.command_line import command, fails, run
from consistency.models import answers, bright_things, labels, noise
from PIL import Image

from aa_detectron.consistency import evaluate_consistency, evaluate_sweep
from aa_detectron.consistency.crops import PairGroups
from aa_detectron.consistency.exchange.crop_files import write_crops
from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.consistency.exchange.scoring import score_predictions
from aa_detectron.consistency.sources.images import open_images
from aa_detectron.errors import InputError

KINDS = {
    "--instances": ("results.json", bright_things),
    "--label-maps": ("labels", labels),
    "--classes": ("classes.csv", lambda crops: [int(a.argmax()) for a in answers(crops)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_records_are_those_of_the_function(images, predicted, tmp_path, kind):
    name, model = KINDS[kind]
    out = ["--output", tmp_path / "out.json"]
    said = command(["score", predicted / "manifest.json", kind, predicted / name, *out])
    expected = evaluate_consistency(model, images, pairs_per_image=2, seed=3)
    report = read_report(tmp_path / "out.json")
    assert report["pairs"] == expected.records and len(expected.records) == 6
    assert said.startswith(str(expected)) and "wrote" in said


def test_rules_for_instances(images, predicted, tmp_path, monkeypatch):
    options = ["--score-thresh", 0.6, "--any-class", "--output", tmp_path / "out.json"]
    words = ["score", predicted / "manifest.json", "--instances", predicted / "results.json"]
    run(monkeypatch, *words, *options)
    rules = {"score_thresh": 0.6, "match_class": False}
    expected = evaluate_consistency(bright_things, images, pairs_per_image=2, seed=3, **rules)
    report = read_report(tmp_path / "out.json")
    assert report["pairs"] == expected.records and rules.items() <= report.items()
    default = evaluate_consistency(bright_things, images, pairs_per_image=2, seed=3)
    assert default.records != expected.records


def write_labels(folder):
    """Writes the label maps of all crops, as another program does."""
    (folder / "labels").mkdir()
    for path in (folder / "crops").iterdir():
        (found,) = labels([np.asarray(Image.open(path))])
        Image.fromarray(found.astype(np.uint8)).save(folder / "labels" / path.name)


def test_a_sweep(images, tmp_path, monkeypatch):
    folder = tmp_path / "crops"
    sweep = ["--max-shift", 16, "--stride", 4]
    run(monkeypatch, "crops", images, "--output", folder, "--sweep", *sweep)
    write_labels(folder)
    run(monkeypatch, "score", folder / "manifest.json", "--label-maps", folder / "labels")
    expected = evaluate_sweep(labels, images, max_shift=16, stride=4)
    report = read_report(folder / "consistency.json")
    assert report["pairs"] == expected.records
    assert report["phase_gaps"]["mASSC"] == expected.phase_gap("mASSC")


@pytest.mark.parametrize("shifts", ["circular", "fractional"])
def test_other_kinds_of_shift(images, tmp_path, monkeypatch, shifts):
    folder = tmp_path / "crops"
    kind = ["--shifts", shifts, *(["--steps-per-pixel", 2] if shifts == "fractional" else [])]
    run(monkeypatch, "crops", images, "--output", folder, *kind)
    write_labels(folder)
    run(monkeypatch, "score", folder / "manifest.json", "--label-maps", folder / "labels")
    expected = evaluate_consistency(labels, images, shifts=shifts, steps_per_pixel=2)
    report = read_report(folder / "consistency.json")
    assert report["pairs"] == expected.records and report["shifts"] == shifts


def test_objects_of_the_images(images, predicted, tmp_path, monkeypatch, capsys):
    image = {"file_name": "0.png", "height": 160, "width": 200}
    box = {"id": 1, "image_id": "0.png", "category_id": 1, "bbox": [110, 80, 20, 40]}
    content = {"images": [image | {"id": f"{i}.png"} for i in range(3)], "annotations": [box]}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    words = ["--instances", predicted / "results.json", "--truth", tmp_path / "truth.json"]
    out = ["--output", tmp_path / "out.json"]
    run(monkeypatch, "score", predicted / "manifest.json", *words, *out)
    scores = read_report(tmp_path / "out.json")["results"]["consistency_bbox"]
    assert scores["consistent_and_correct"] == 100
    assert "box consistent and correct     100.00" in capsys.readouterr().out


def test_truth_that_is_of_no_image(images, predicted, tmp_path, monkeypatch):
    image = {"id": 1, "file_name": "0.png", "height": 160, "width": 200}
    (tmp_path / "truth.json").write_text(json.dumps({"images": [image], "annotations": []}))
    words = ["score", predicted / "manifest.json", "--instances", predicted / "results.json"]
    said = fails(monkeypatch, *words, "--truth", tmp_path / "truth.json")
    assert "ids of images are ['0.png', '1.png', '2.png'], of ground truth ['1']" in said
    assert "for a COCO JSON only" in fails(monkeypatch, *words, "--truth", images)
    model = ["--model", "consistency.models:pixels", "--output", tmp_path / "out.json"]
    assert "for a COCO JSON only" in fails(monkeypatch, "run", images, *model, "--truth")


@pytest.mark.parametrize("shifts", ["crop", "circular", "fractional"])
def test_truth_of_another_size(tmp_path, shifts):
    """The size of the image is unknown, but its ground truth reaches as far as the crops."""
    items, options = open_images([noise(1, (40, 48))]), PairGroups(shifts=shifts)
    write_crops(items, tmp_path, options)

    def score(*size):
        truth = {"0": {"sem_seg": np.zeros(size, int), "ignore_label": 9}}
        answers = lambda manifest: lambda key: ({"class": 3}, "file")  # noqa: E731
        return score_predictions(tmp_path / "manifest.json", answers, truth=truth)

    assert len(score(40, 48).records) == 1
    with pytest.raises(InputError, match="image 0: sem_seg of ground truth have 20x48 pixels"):
        score(20, 48)
