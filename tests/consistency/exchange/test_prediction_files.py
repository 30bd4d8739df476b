import csv
import json
import re

import numpy as np
import pytest
from consistency.command_line import fails, run
from PIL import Image

from aa_detectron.consistency.exchange.record_files import read_report


def change_results(predicted, tmp_path, change):
    results = json.loads((predicted / "results.json").read_text())
    path = tmp_path / "results.json"
    path.write_text(json.dumps(change(results)))
    return path


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
