import warnings

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from aa_detectron.consistency.classes import class_pair_record, score_class_pairs
from aa_detectron.consistency.curves import (
    draw_drop_curves,
    drop_curve,
    drop_curves,
    plot_drop_curves,
)
from aa_detectron.errors import InputError


def pair(image, length, same):
    """A record of crops ``length`` pixels apart, with the same label or not."""
    logits = torch.eye(2)
    return class_pair_record(image, 0, ((0, 0), (0, length)), (8, 8), logits[0], logits[1 - same])


def test_drop_curve_by_hand():
    records = [pair(0, 9, 0), pair(1, 1, 1), pair(2, 4, 0), pair(3, 12, 1), pair(4, 4, 1)]
    first, second = drop_curve(records, "classification", width=4)
    assert (first["from"], first["to"], first["length"], first["pairs"]) == (0, 4, 3, 3)
    assert first["consistency"] == pytest.approx(200 / 3)
    assert (first["low"], first["high"]) == (0, 100)
    assert (second["from"], second["to"], second["length"], second["pairs"]) == (8, 12, 10.5, 2)
    assert second["consistency"] == 50


def test_drop_curve_keeps_every_pair():
    draw = np.random.default_rng(0).integers
    records = [pair(i, int(draw(1, 30)), int(draw(2))) for i in range(200)]
    curve = drop_curve(records, "classification", width=3)
    assert sum(point["pairs"] for point in curve) == 200
    mean = sum(point["pairs"] * point["consistency"] for point in curve) / 200
    assert mean == pytest.approx(score_class_pairs(records)["consistency"])
    for point in curve:
        assert point["from"] < point["length"] <= point["to"]


CURVE = [
    {"from": 0, "to": 4, "length": 3, "pairs": 9, "consistency": 95, "low": 90, "high": 99},
    {"from": 4, "to": 8, "length": 6, "pairs": 9, "consistency": 90, "low": 80, "high": 95},
    {"from": 8, "to": 12, "length": 9, "pairs": 1, "consistency": 0, "low": None, "high": None},
]


def test_figure_shows_shares_and_intervals():
    figure = draw_drop_curves(
        {"plain": {"classification": CURVE}, "adaptive": {"classification": CURVE[:2]}}
    )
    (axes,) = figure.axes
    plain, adaptive = axes.lines
    assert plain.get_xydata().tolist() == [[3, 95], [6, 90], [9, 0]]
    assert adaptive.get_xydata().tolist() == [[3, 95], [6, 90]]
    for line, band in zip(axes.lines, axes.collections, strict=True):
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}
        assert corners == {(3, 90), (3, 99), (6, 80), (6, 95)}
        assert to_rgb(band.get_facecolor()[0][:3]) == to_rgb(line.get_color())
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["plain", "adaptive"]
    assert "pixels" in axes.get_xlabel() and "consistency (%)" in axes.get_ylabel()


def test_plot_is_written_whole_and_without_warnings(tmp_path):
    path = tmp_path / "new" / "drop.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_drop_curves({"plain": {"classification": CURVE}}, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()
    assert [file.name for file in path.parent.iterdir()] == ["drop.png"]


def test_plot_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="drop.png: cannot be written"):
        plot_drop_curves({"plain": drop_curves([pair(0, 1, 1)])}, tmp_path / "file" / "drop.png")


def instances_at(length, *ious):
    first = [{"iou": iou} for iou in ious]
    record = {"image_id": length, "offsets": [[0, 0], [0, length]]}
    return record | {"segm": {"first": first}, "bbox": {"first": first[:1]}}


def labels_at(length, equal):
    section = {"pixels": 10, "equal": equal}
    return {"image_id": length, "offsets": [[0, 0], [length, 0]], "sem_seg": section}


def test_every_kind_by_hand():
    """Pairs without an instance, or without a pixel that counts, are in no point."""
    records = [instances_at(3, 0.95, 0.9), instances_at(1, 0.8), instances_at(2), instances_at(9)]
    curves = drop_curves(records)
    assert list(curves) == ["segm", "bbox"]
    (mask,), (box,) = curves["segm"], curves["bbox"]
    assert (mask["length"], mask["pairs"], mask["consistency"]) == (2, 2, 25)
    assert (box["length"], box["pairs"], box["consistency"]) == (2, 2, 50)
    (first, second) = drop_curves([labels_at(1, 9), labels_at(2, 6), labels_at(5, 3)])["sem_seg"]
    assert (first["consistency"], second["consistency"]) == pytest.approx((75, 30))
    assert drop_curves([labels_at(1, 0) | {"sem_seg": {"pixels": 0, "equal": 0}}]) == {}


def test_a_panel_for_each_metric_and_a_colour_for_each_model():
    models = {
        "plain": {"sem_seg": CURVE},
        "adaptive": {"sem_seg": CURVE, "segm": CURVE, "bbox": CURVE},
    }
    figure = draw_drop_curves(models)
    panels = figure.axes
    assert [axes.get_ylabel().split(" (")[0] for axes in panels] == [
        "mAISC of masks",
        "mAISC of boxes",
        "mASSC",
    ]
    assert [len(axes.lines) for axes in panels] == [1, 1, 2]
    colours = [axes.lines[-1].get_color() for axes in panels]
    assert len(set(colours)) == 1 and colours[0] != panels[2].lines[0].get_color()
    (legend,) = figure.legends
    assert sorted(text.get_text() for text in legend.get_texts()) == ["adaptive", "plain"]


def test_fifteen_models_differ_in_colour_and_fit():
    names = [f"a name, number {number}" for number in range(15)]
    figure = draw_drop_curves(dict.fromkeys(names, {"segm": CURVE}))
    (axes,) = figure.axes
    colours = {line.get_color() for line in axes.lines}
    assert len(colours) == 15 and all(max(rgb) - min(rgb) > 0.1 for rgb in colours)  # no grey
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 < axes.bbox.y0
    assert axes.bbox.height > 0.6 * figure.bbox.height
