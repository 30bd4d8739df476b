import json
import subprocess
import sys

import pytest
from consistency.command_line import fails, run
from helpers import ROOT

from aa_detectron.consistency.exchange.record_files import read_report


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


@pytest.mark.parametrize(
    "kind", [["--label-maps", "labels"], ["--classes", "classes.csv"]], ids=" ".join
)
@pytest.mark.parametrize(
    "option", [["--truth", "truth.json"], ["--score-thresh", 0.5], ["--any-class"]], ids=str
)
def test_options_for_instances(predicted, monkeypatch, kind, option):
    monkeypatch.chdir(predicted)
    said = fails(monkeypatch, "score", "manifest.json", *kind, *option)
    assert said == f"error: {option[0]} has no effect without --instances"


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
