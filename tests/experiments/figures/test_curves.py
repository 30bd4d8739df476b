import warnings

import pytest
from experiments.figures.names import NAMES, assert_drawn
from matplotlib.colors import to_rgb
from PIL import Image

from aa_detectron.errors import InputError
from aa_detectron.experiments.figures.curves import draw_drop_curves, plot_drop_curves

CURVE = [
    {"from": 0, "to": 4, "length": 3, "pairs": 9, "consistency": 95, "low": 90, "high": 99},
    {"from": 4, "to": 8, "length": 6, "pairs": 9, "consistency": 90, "low": 80, "high": 95},
    {"from": 8, "to": 12, "length": 9, "pairs": 1, "consistency": 0, "low": None, "high": None},
]


def test_figure_shows_fractions_and_intervals():
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
        plot_drop_curves({"plain": {"classification": CURVE}}, tmp_path / "file" / "drop.png")


def test_a_panel_for_each_metric_and_a_color_for_each_model():
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
    colors = [axes.lines[-1].get_color() for axes in panels]
    assert len(set(colors)) == 1 and colors[0] != panels[2].lines[0].get_color()
    (legend,) = figure.legends
    assert sorted(text.get_text() for text in legend.get_texts()) == ["adaptive", "plain"]


def test_fifteen_models_differ_in_color_and_fit():
    names = [f"a name, number {number}" for number in range(15)]
    figure = draw_drop_curves(dict.fromkeys(names, {"segm": CURVE}))
    (axes,) = figure.axes
    colors = {line.get_color() for line in axes.lines}
    assert len(colors) == 15 and all(max(rgb) - min(rgb) > 0.1 for rgb in colors)  # no grey
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 < axes.bbox.y0
    assert axes.bbox.height > 0.6 * figure.bbox.height


@pytest.mark.parametrize("name", NAMES)
def test_names_are_drawn_as_they_are(name):
    assert_drawn(draw_drop_curves({name: {"segm": CURVE}}), name)
