"""Figures of files of records, through the command aa-consistency plot."""

import csv
import importlib
import json
import sys

import numpy as np
import pytest
from consistency.models import bright_things, labels, noise, squares
from PIL import Image

from aa_detectron.consistency import evaluate_consistency, evaluate_sweep
from aa_detectron.consistency.cli import main
from aa_detectron.consistency.commands import plot
from aa_detectron.consistency.curves import drop_curves
from aa_detectron.consistency.exchange.record_curves import curves_of_sweeps, read_reports
from aa_detectron.consistency.records import MAIN_METRICS
from aa_detectron.experiments.figures.curves import draw_sweeps


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    sweep = {"max_shift": 16, "stride": 4, "progress": False}
    evaluate_sweep(labels, [noise(1), noise(2)], **sweep).save(folder / "maps.json")
    evaluate_sweep(bright_things, [squares()], **sweep).save(folder / "things.json")
    evaluate_consistency(labels, [noise(1), noise(2)], progress=False).save(folder / "pairs.json")
    return folder


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["aa-consistency", "plot", *map(str, words)])
    main()


def fails(monkeypatch, *words):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *words)
    (line,) = str(ended.value).splitlines()
    return line


def test_a_panel_for_each_metric_with_the_points_of_the_curve(folder):
    files = [f"a={folder / 'maps.json'}", f"a={folder / 'things.json'}", f"b={folder}/maps.json"]
    metrics = list(MAIN_METRICS.values())
    curves = curves_of_sweeps(read_reports(files)[0], metrics)
    figure = draw_sweeps(curves, metrics, {4})
    titles = [axes.get_ylabel().split(" (")[0] for axes in figure.axes]
    assert titles == ["mask mAISC", "box mAISC", "mASSC"]
    curve = json.loads((folder / "maps.json").read_text())["curves"]["mASSC"]
    for line in figure.axes[2].lines[:2]:
        expected = [[point["shift"], point["value"]] for point in curve]
        assert np.allclose(line.get_xydata(), expected)
    strides = [line.get_xdata()[0] for line in figure.axes[2].lines[2:]]
    assert strides == [4, 8]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    chosen = ["mask mAISC50"]
    (axes,) = draw_sweeps(curves_of_sweeps(read_reports(files[:2])[0], chosen), chosen, {4}).axes
    assert axes.get_ylabel().startswith("mask mAISC50")


def test_the_command(folder, tmp_path, monkeypatch, capsys):
    for name, start in (("pairs", b"\x89PNG"), ("maps", b"\x89PNG")):
        run(monkeypatch, f"x={folder / name}.json", "--output", tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(start)
        assert np.asarray(Image.open(tmp_path / f"{name}.png")).std() > 5
    for copy in "ab":
        run(monkeypatch, f"x={folder}/maps.json", "--output", tmp_path / copy / "x.svg")
    drawn = [(tmp_path / copy / "x.svg").read_bytes() for copy in "ab"]
    assert drawn[0] == drawn[1] and b"<svg" in drawn[0]
    assert "wrote" in capsys.readouterr().out


def test_the_numbers(folder, tmp_path, monkeypatch):
    out = tmp_path / "numbers.csv"
    run(monkeypatch, f"a={folder}/maps.json", f"b={folder}/things.json", "--output", out)
    rows = list(csv.DictReader(out.open()))
    curve = json.loads((folder / "maps.json").read_text())["curves"]["mASSC"]
    found = [{k: float(row[k]) for k in curve[0]} for row in rows if row["model"] == "a"]
    assert found == curve
    assert {r["metric"] for r in rows if r["model"] == "b"} == {"mask mAISC", "box mAISC"}
    run(monkeypatch, f"a={folder}/pairs.json", "--output", out)
    (first, *_) = csv.DictReader(out.open())
    drop = drop_curves(json.loads((folder / "pairs.json").read_text())["pairs"])["sem_seg"][0]
    assert first["metric"] == "mASSC" and float(first["consistency"]) == drop["consistency"]


def test_files_that_cannot_be_plotted(folder, tmp_path, monkeypatch):
    out = ["--output", tmp_path / "out.png"]
    maps, pairs = f"x={folder / 'maps.json'}", f"x={folder / 'pairs.json'}"
    said = fails(monkeypatch, maps, pairs, *out)
    assert "some files have pairs, others sweeps" in said
    assert "x has two files of this kind" in fails(monkeypatch, maps, maps, *out)
    assert "expected NAME=FILE" in fails(monkeypatch, folder / "maps.json", *out)
    said = fails(monkeypatch, maps, *out, "--metric", "mask mAISC")
    assert "maps.json: has no pair that counts for any of mask mAISC" in said
    said = fails(monkeypatch, pairs, *out, "--metric", "mASSC")
    assert "--metric is for sweeps" in said
    assert not (tmp_path / "out.png").exists()


def test_without_the_extra(folder, tmp_path, monkeypatch):
    def missing(name):
        raise ImportError("aa_detectron.experiments needs matplotlib: pip install 'aa_detectron'")

    monkeypatch.setattr(plot, "importlib", type("", (), {"import_module": staticmethod(missing)}))
    said = fails(monkeypatch, f"x={folder}/maps.json", "--output", tmp_path / "a.png")
    assert said.endswith(
        "plot: aa_detectron.experiments needs matplotlib: pip install 'aa_detectron'"
    )
    assert importlib.import_module(plot.DRAWING).plot_sweeps
