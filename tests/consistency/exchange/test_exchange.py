"""Crops, predictions of another process and records on disk, without torch and Detectron2."""

import csv
import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from consistency.models import answers, bright_things, labels, noise, squares
from helpers import ROOT, run_without
from PIL import Image

from aa_detectron.consistency import evaluate_consistency, evaluate_sweep
from aa_detectron.consistency.cli import main
from aa_detectron.consistency.crops import PairGroups
from aa_detectron.consistency.exchange.crop_files import write_crops
from aa_detectron.consistency.exchange.manifest import read_manifest
from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.consistency.exchange.scoring import score_predictions
from aa_detectron.consistency.sources.images import open_images
from aa_detectron.errors import InputError

PREDICTOR = """
import csv, json, sys
import numpy as np
import pycocotools.mask as mask_util
from PIL import Image
sys.path.insert(0, {tests!r})
from consistency.models import answers, bright_things, labels

folder = {folder!r}
manifest = json.load(open(folder + "/manifest.json"))
results, rows = [], []
for crop in manifest["images"]:
    image = np.asarray(Image.open(folder + "/" + crop["file_name"]))
    assert image.shape == (crop["height"], crop["width"], 3)
    (found,) = bright_things([image])
    keys = "boxes", "scores", "classes", "masks"
    for box, score, label, mask in zip(*(found[key] for key in keys)):
        x0, y0, x1, y1 = map(float, box)
        rle = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
        results.append({{
            "image_id": crop["id"], "category_id": int(label), "score": float(score),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "segmentation": {{"size": rle["size"], "counts": rle["counts"].decode()}},
        }})
    name = crop["file_name"].split("/")[-1]
    Image.fromarray(labels([image])[0].astype(np.uint8)).save(folder + "/labels/" + name)
    rows.append([name, int(answers([image])[0].argmax())])
json.dump(results, open(folder + "/results.json", "w"))
csv.writer(open(folder + "/classes.csv", "w")).writerows([["file_name", "class"], *rows])
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number in range(3):
        Image.fromarray(squares(number)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def predicted(images, tmp_path_factory):
    """A folder of crops with predictions of all kinds, made without torch and Detectron2."""
    folder = tmp_path_factory.mktemp("exchange") / "crops"
    command(["crops", images, "--output", folder, "--pairs-per-image", 2, "--seed", 3])
    (folder / "labels").mkdir()
    script = PREDICTOR.format(tests=str(ROOT / "tests"), folder=str(folder))
    subprocess.run([sys.executable, "-c", script], check=True)
    return folder


def command(words):
    """The command in a process that can import neither torch nor Detectron2."""
    words = ["aa-consistency", *map(str, words)]
    code = f"sys.argv = {words!r}\nfrom aa_detectron.consistency.cli import main\nmain()"
    return run_without(["torch", "torchvision", "detectron2", "fvcore", "matplotlib"], code)


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["aa-consistency", *map(str, words)])
    main()


KINDS = {
    "--instances": ("results.json", bright_things),
    "--label-maps": ("labels", labels),
    "--classes": ("classes.csv", lambda crops: [int(a.argmax()) for a in answers(crops)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_records_are_those_of_the_function(images, predicted, tmp_path, kind):
    name, model = KINDS[kind]
    options = ["--output", tmp_path / "out.json", "--score-thresh", 0.6]
    said = command(["score", predicted / "manifest.json", kind, predicted / name, *options])
    expected = evaluate_consistency(model, images, pairs_per_image=2, seed=3, score_thresh=0.6)
    report = read_report(tmp_path / "out.json")
    assert report["pairs"] == expected.records and len(expected.records) == 6
    assert said.startswith(str(expected)) and "wrote" in said


def test_a_sweep(images, tmp_path, monkeypatch):
    folder = tmp_path / "crops"
    sweep = ["--max-shift", 16, "--stride", 4]
    run(monkeypatch, "crops", images, "--output", folder, "--sweep", *sweep)
    (folder / "labels").mkdir()
    for path in (folder / "crops").iterdir():
        (found,) = labels([np.asarray(Image.open(path))])
        Image.fromarray(found.astype(np.uint8)).save(folder / "labels" / path.name)
    run(monkeypatch, "score", folder / "manifest.json", "--label-maps", folder / "labels")
    expected = evaluate_sweep(labels, images, max_shift=16, stride=4)
    report = read_report(folder / "consistency.json")
    assert report["pairs"] == expected.records
    assert report["phase_gaps"]["mASSC"] == expected.phase_gap("mASSC")


@pytest.mark.parametrize(
    "words, message",
    [
        (["--sweep", "--seed", 0], "--seed has no effect with --sweep"),
        (["--sweep", "--pairs-per-image", 2], "--pairs-per-image has no effect with --sweep"),
        (["--stride", 4], "--stride has no effect without --sweep"),
        (["--steps-per-pixel", 4], "--steps-per-pixel has no effect without --shifts fractional"),
    ],
)
def test_an_option_without_effect(images, tmp_path, monkeypatch, words, message):
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, "crops", images, "--output", tmp_path / "crops", *words)
    assert not (tmp_path / "crops").exists()


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_an_option_of_a_model_without_effect(images, tmp_path, monkeypatch, name):
    out = tmp_path / "out.json"
    words = [name, images, "--model", "consistency.models:pixels", "--output", out]
    said = fails(monkeypatch, *words, "--category-ids", 7)
    assert said == "error: --category-ids has no effect without --truth"
    for shifts in ([], ["--shifts", "circular"]):
        said = fails(monkeypatch, *words, "--steps-per-pixel", 9, *shifts)
        assert said == "error: --steps-per-pixel has no effect without --shifts fractional"
    assert not out.exists()


@pytest.mark.parametrize("kind", ["--label-maps", "--classes"])
def test_objects_are_for_instances(predicted, tmp_path, monkeypatch, kind):
    words = [kind, predicted / KINDS[kind][0], "--truth", tmp_path / "truth.json"]
    said = fails(monkeypatch, "score", predicted / "manifest.json", *words)
    assert said == "error: --truth has no effect without --instances"


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_a_function_of_a_module(images, tmp_path, monkeypatch, capsys, name):
    (tmp_path / "toy_of_users.py").write_text("def predict(crops):\n    return [3] * len(crops)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for model in ("toy_of_users:predict", "./toy_of_users.py:predict"):
        run(monkeypatch, name, images, "--model", model, "--max-shift", 4)
        assert "consistency                    100.00" in capsys.readouterr().out
    assert read_report("consistency.json")["max_shift"] == 4


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_an_output_that_cannot_be_written_is_found_first(images, tmp_path, monkeypatch, name):
    (tmp_path / "never.py").write_text("def predict(crops):\n    raise SystemExit('predicted')\n")
    words = ["--model", tmp_path / "never.py:predict", "--max-shift", 4]
    assert "is a folder" in fails(monkeypatch, name, images, *words, "--output", tmp_path)
    (tmp_path / "file").touch()
    said = fails(monkeypatch, name, images, *words, "--output", tmp_path / "file" / "a.json")
    assert "a.json: cannot be written" in said


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


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_classes_of_the_model_are_not_the_category_ids(name, images, tmp_path, monkeypatch):
    """The class 1 of the model is category 7; as category 1 it finds nothing that is annotated."""
    image = {"id": 1, "file_name": "0.png", "height": 160, "width": 200}
    box = {"id": 1, "image_id": 1, "category_id": 7, "bbox": [110, 80, 20, 40]}
    truth, out = tmp_path / "truth.json", tmp_path / "out.json"
    truth.write_text(json.dumps({"images": [image], "annotations": [box]}))
    words = [name, truth, "--folder", images, "--model", "consistency.models:bright_things"]
    words += ["--max-shift", "8", "--truth", "--output", out]
    for ids, expected in (([], None), (["--category-ids", "3", "7"], 100)):
        run(monkeypatch, *words, *ids)
        scores = read_report(out)["results"]["consistency_bbox"]
        assert scores["consistent_and_correct"] == expected


def test_a_box_that_is_null_is_around_the_mask(predicted, tmp_path, monkeypatch):
    path = change_results(predicted, tmp_path, lambda r: [result | {"bbox": None} for result in r])
    words = ["score", predicted / "manifest.json", "--instances", path, "--output"]
    run(monkeypatch, *words, tmp_path / "null.json")
    path = change_results(predicted, tmp_path, lambda r: r)
    run(monkeypatch, *words, tmp_path / "given.json")
    assert (tmp_path / "null.json").read_text() == (tmp_path / "given.json").read_text()


def test_a_mask_without_polygons_is_empty(predicted, tmp_path, monkeypatch):
    """As a mask of zeros in RLE, it does not count as a mask, but its box counts."""

    def score(name, change):
        path = change_results(predicted, tmp_path, lambda r: [r[0] | change, *r[1:]])
        words = ["--instances", path, "--output", tmp_path / name]
        run(monkeypatch, "score", predicted / "manifest.json", *words)
        return read_report(tmp_path / name)["pairs"]

    results = json.loads((predicted / "results.json").read_text())
    size = results[0]["segmentation"]["size"]
    zeros = {"size": size, "counts": [size[0] * size[1]]}
    for box in ({}, {"bbox": None}):
        found = score("polygons.json", {"segmentation": [], **box})
        assert found == score("rle.json", {"segmentation": zeros, **box})
        assert found != score("given.json", {})


# -- What goes wrong -----------------------------------------------------------------------------


def fails(monkeypatch, *words):
    with pytest.raises(SystemExit) as error:
        run(monkeypatch, *words)
    assert "\n" not in error.value.code
    return error.value.code


def change_results(predicted, tmp_path, change):
    results = json.loads((predicted / "results.json").read_text())
    path = tmp_path / "results.json"
    path.write_text(json.dumps(change(results)))
    return path


def test_truth_that_is_of_no_image(images, predicted, tmp_path, monkeypatch):
    image = {"id": 1, "file_name": "0.png", "height": 160, "width": 200}
    (tmp_path / "truth.json").write_text(json.dumps({"images": [image], "annotations": []}))
    words = ["score", predicted / "manifest.json", "--instances", predicted / "results.json"]
    said = fails(monkeypatch, *words, "--truth", tmp_path / "truth.json")
    assert "ids of images are ['0.png', '1.png', '2.png'], of ground truth ['1']" in said
    assert "for a COCO JSON only" in fails(monkeypatch, *words, "--truth", images)
    model = ["--model", "consistency.models:pixels", "--output", tmp_path / "out.json"]
    assert "for a COCO JSON only" in fails(monkeypatch, "run", images, *model, "--truth")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r: [], "holds no results"),
        (lambda r: {}, "must hold a list of COCO results"),
        (lambda r: [*r, 3], "result 36 is 3, without image_id"),
        (lambda r: [*r, r[0] | {"image_id": 99}], "1 prediction is of crops that the manifest l"),
        (lambda r: [r[0] | {"score": "high"}], "result 0 has score 'high'"),
        (lambda r: [r[0] | {"score": float("nan")}], "result 0 has score nan"),
        (lambda r: [r[0] | {"score": 10**400}], "result 0 has score 10+.*, but must have a finite"),
        (lambda r: [r[0] | {"category_id": -1}], "result 0 has category_id -1"),
        (lambda r: [r[0] | {"category_id": 2**63}], "category_id 9223372036854775808, but must"),
        (lambda r: [r[0] | {"bbox": [1, 2, 3]}], r"result 0 has bbox \[1, 2, 3\]"),
        (lambda r: [r[0] | {"segmentation": {"size": [1, 1], "counts": "1"}}], "segmentation has"),
        (
            lambda r: [r[0], {k: v for k, v in r[1].items() if k != "segmentation"}],
            "result 1 has n",
        ),
    ],
)
def test_instances_that_cannot_be_used(predicted, tmp_path, monkeypatch, change, message):
    path, out = change_results(predicted, tmp_path, change), tmp_path / "out.json"
    words = ["score", predicted / "manifest.json", "--instances", path, "--output", out]
    said = fails(monkeypatch, *words)
    assert str(path) in said
    assert re.search(message, said), said
    assert not out.exists()


def test_label_maps_that_cannot_be_used(predicted, tmp_path, monkeypatch):
    folder, out = tmp_path / "labels", tmp_path / "out.json"
    folder.mkdir()
    for path in (predicted / "labels").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    words = ["score", predicted / "manifest.json", "--label-maps", folder, "--output", out]
    (folder / "00000003.png").rename(folder / "x.png")
    assert "1 prediction is missing: 00000003.png" in fails(monkeypatch, *words)
    (folder / "00000003.png").write_bytes(b"no image")
    assert "1 prediction is of no crop: x.png" in fails(monkeypatch, *words)
    (folder / "x.png").unlink()
    assert "00000003.png: cannot be read as a label map" in fails(monkeypatch, *words)
    Image.new("RGB", (168, 128)).save(folder / "00000003.png")
    assert "is of mode RGB, but must have one channel" in fails(monkeypatch, *words)
    Image.new("L", (9, 9)).save(folder / "00000003.png")
    assert "00000003.png: sem_seg has 9x9 pixels" in fails(monkeypatch, *words)
    assert "is no folder" in fails(monkeypatch, *words[:3], tmp_path / "nowhere")
    assert not out.exists()


def test_label_maps_of_1_bit(predicted, tmp_path, monkeypatch):
    """Black is label 0 and white is label 1."""
    for path in (predicted / "labels").iterdir():
        binary = np.asarray(Image.open(path)) > 0
        for name, image in (("bits", binary), ("bytes", binary.astype(np.uint8))):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / name / path.name)
    assert Image.open(tmp_path / "bits" / "00000001.png").mode == "1"
    for name in ("bits", "bytes"):
        words = ["--label-maps", tmp_path / name, "--output", tmp_path / f"{name}.json"]
        run(monkeypatch, "score", predicted / "manifest.json", *words)
    bits, labels = (read_report(tmp_path / f"{name}.json")["pairs"] for name in ("bits", "bytes"))
    assert bits == labels and labels[0]["sem_seg"]["per_class"].keys() == {"0", "1"}


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda rows: rows[:-2], "2 predictions are missing: 00000011.png, 00000012.png"),
        (lambda rows: [*rows, ["x.png", "1"]], "1 prediction is of no crop: x.png"),
        (lambda rows: [*rows, rows[1]], "line 14 has 00000001.png again"),
        (lambda rows: [["name", "class"], *rows[1:]], "without file_name"),
        (lambda rows: [rows[0], [rows[1][0], "cat"]], "line 2 has class 'cat'"),
        (lambda rows: [rows[0], [rows[1][0], "9" * 19]], "from 0 to 9223372036854775807"),
        (lambda rows: [rows[0], [rows[1][0], "9" * 5000]], "from 0 to 9223372036854775807"),
        (lambda rows: [[*rows[0], "score"], [rows[1][0], "1", "nan"]], "line 2 has score 'nan'"),
        (lambda rows: [], "has columns [], without class"),
    ],
)
def test_classes_that_cannot_be_used(predicted, tmp_path, monkeypatch, change, message):
    with open(predicted / "classes.csv", newline="") as file:
        rows = change(list(csv.reader(file)))
    path, out = tmp_path / "classes.csv", tmp_path / "out.json"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    words = ["score", predicted / "manifest.json", "--classes", path, "--output", out]
    assert message in fails(monkeypatch, *words) and not out.exists()


def test_classes_of_a_program_on_windows(predicted, tmp_path, monkeypatch):
    with open(predicted / "classes.csv", newline="") as file:
        header, *rows = csv.reader(file)
    path = tmp_path / "classes.csv"
    with open(path, "w", newline="") as file:
        rows = [["C:\\out\\crops\\" + name.rpartition("/")[2], answer] for name, answer in rows]
        csv.writer(file).writerows([header, *rows])
    out = [tmp_path / "expected.json", tmp_path / "found.json"]
    for classes, written in zip((predicted / "classes.csv", path), out, strict=True):
        words = ["score", predicted / "manifest.json", "--classes", classes, "--output", written]
        run(monkeypatch, *words)
    assert read_report(out[0]) == read_report(out[1])


@pytest.mark.parametrize("shifts", ["circular", "fractional"])
def test_other_kinds_of_shift(images, tmp_path, monkeypatch, shifts):
    folder = tmp_path / "crops"
    kind = ["--shifts", shifts, *(["--steps-per-pixel", 2] if shifts == "fractional" else [])]
    run(monkeypatch, "crops", images, "--output", folder, *kind)
    (folder / "labels").mkdir()
    for path in (folder / "crops").iterdir():
        (found,) = labels([np.asarray(Image.open(path))])
        Image.fromarray(found.astype(np.uint8)).save(folder / "labels" / path.name)
    run(monkeypatch, "score", folder / "manifest.json", "--label-maps", folder / "labels")
    expected = evaluate_consistency(labels, images, shifts=shifts, steps_per_pixel=2)
    report = read_report(folder / "consistency.json")
    assert report["pairs"] == expected.records and report["shifts"] == shifts


def test_a_manifest_without_a_kind_of_shift_is_of_plain_crops(predicted, tmp_path, monkeypatch):
    content = json.loads((predicted / "manifest.json").read_text())
    for name in ("shifts", "steps_per_pixel"):
        del content["settings"][name]
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    words = ["--instances", predicted / "results.json", "--output", tmp_path / "out.json"]
    run(monkeypatch, "score", tmp_path / "manifest.json", *words)
    run(monkeypatch, "score", predicted / "manifest.json", *words[:3], tmp_path / "new.json")
    old, new = (read_report(tmp_path / name)["pairs"] for name in ("out.json", "new.json"))
    assert old == new
    content["images"][0]["offset"] = [0.5, 1]
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    said = fails(monkeypatch, "score", tmp_path / "manifest.json", *words)
    assert "manifest.images[0].offset[0] is 0.5, but must be an integer from 0" in said


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": 2}, "manifest.version is 2, but must be 1"),
        ({"pairs": []}, "has no pairs"),
        ({"pairs": [{"first": 1, "second": 99, "pair": 0}]}, "the crop 99, which images lack"),
        ({"pairs": [{"first": 1, "second": 12, "pair": 0}]}, "crops of two images"),
        ({"settings": {"kind": "x"}}, "manifest.settings.kind is 'x', but must be 'pairs' or"),
        (
            {"settings": {"kind": "pairs", "shifts": "x"}},
            "manifest.settings.shifts is 'x', but must be 'crop' or 'circular' or 'fractional'",
        ),
    ],
)
def test_a_manifest_that_cannot_be_used(predicted, tmp_path, monkeypatch, change, message):
    content = json.loads((predicted / "manifest.json").read_text()) | change
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    words = ["score", tmp_path / "manifest.json", "--instances", predicted / "results.json"]
    assert message in fails(monkeypatch, *words)


def test_crops_are_whole_or_not_there(images, tmp_path, monkeypatch):
    out = tmp_path / "out"
    for path in images.iterdir():
        (tmp_path / "in" / path.name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "in" / "z.png").write_bytes(b"no image")
    words = ["crops", tmp_path / "in", "--output", out]
    assert "z.png: cannot be read as an image" in fails(monkeypatch, *words)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    with pytest.warns(UserWarning, match=r"z\.png"):
        run(monkeypatch, *words, "--skip")
    assert len(read_manifest(out / "manifest.json").crops) == 6
    assert "exists, but must be a new or empty folder" in fails(monkeypatch, *words)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    said = fails(monkeypatch, *words[:3], ".")
    assert "is the current folder" in said and list(tmp_path.joinpath("here").iterdir()) == []
    assert "max_shift is 0, but must be" in fails(monkeypatch, *words, "--max-shift", 0)
    assert "max_shift is -1, but must be" in fails(
        monkeypatch, *words[:3], tmp_path / "b", "--max-shift", -1
    )


@pytest.mark.parametrize("kind", ["folder", "link", "link to nothing"])
def test_crops_in_an_empty_folder(images, tmp_path, monkeypatch, kind):
    """The folder itself stays, since a mount point cannot be replaced."""
    out, folder = tmp_path / "out", tmp_path / "elsewhere" / "folder"
    if kind != "link to nothing":
        folder.mkdir(parents=True)
    out = folder if kind == "folder" else out
    if kind != "folder":
        out.symlink_to(folder, target_is_directory=True)
    before = folder.stat() if folder.exists() else None
    run(monkeypatch, "crops", images, "--output", out)
    assert len(read_manifest(out / "manifest.json").crops) == 6
    assert sorted(path.name for path in folder.iterdir()) == ["crops", "manifest.json"]
    assert out.is_symlink() == (kind != "folder")
    assert before is None or os.path.samestat(before, folder.stat())


def test_an_empty_folder_stays_empty_if_crops_fail(images, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes((images / "0.png").read_bytes())
    (tmp_path / "in" / "z.png").write_bytes(b"no image")
    (tmp_path / "out").mkdir()
    said = fails(monkeypatch, "crops", tmp_path / "in", "--output", tmp_path / "out")
    assert "z.png: cannot be read" in said and not list((tmp_path / "out").iterdir())


def test_crops_whose_manifest_cannot_be_moved(images, tmp_path, monkeypatch):
    replace = Path.replace

    def without_manifest(path, target):
        if Path(target).parent == tmp_path / "out" and path.name == "manifest.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", without_manifest)
    (tmp_path / "out").mkdir()
    said = fails(monkeypatch, "crops", images, "--output", tmp_path / "out")
    assert "out: cannot be written (No space left on device)" in said
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "name, message",
    [
        ("json", "is 'json', but must be MODULE:FUNCTION"),
        ("no_such_module:f", "there is no module no_such_module"),
        ("no-such.py:f", "no-such.py does not exist"),
        ("json:no_such", "json has no function no_such"),
    ],
)
def test_functions_that_are_not_there(images, monkeypatch, name, message):
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert message in fails(monkeypatch, "run", images, "--model", name)


def test_python_m():
    words = [sys.executable, "-m", "aa_detectron.consistency", "--help"]
    assert "crops" in subprocess.run(words, capture_output=True, text=True, cwd=ROOT).stdout


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
