import json

import numpy as np
import pytest
import torch
from PIL import Image

from aa_detectron.errors import InputError
from aa_detectron.experiments.figures.sliding_window import (
    cut_windows,
    plot_window,
    row_of_offsets,
)


def test_offsets():
    assert row_of_offsets(4) == [(2, 0), (2, 1), (2, 2), (2, 3), (2, 4)]


def test_window_of_a_detector(detector, files, tmp_path, written):
    models, (stem, path) = {"a": detector, "b": detector}, next(iter(files.items()))
    names = written(plot_window(models, {stem: path}, str(tmp_path)))
    assert names == {f"window_{stem}.png", f"window_{stem}.gif", "window.json"}
    found = json.loads((tmp_path / "window.json").read_text())[stem]
    assert found["offsets"] == [[8, x] for x in range(17)]
    assert found["models"]["a"] == found["models"]["b"]
    assert len(found["models"]["a"]["positions"]) == 17


def test_windows_of_a_detector_are_parts_of_the_image(detector, files):
    path = next(iter(files.values()))
    cfg = detector.cfg.clone()
    cfg.defrost()
    cfg.INPUT.MIN_SIZE_TEST = 48
    windows = cut_windows(cfg, path)
    image = np.asarray(Image.open(path))
    assert np.array_equal(windows.image, image)
    for (y, x), item in zip(windows.offsets, windows.items, strict=True):
        assert (item["height"], item["width"]) == (48, 48)
        pixels = item["image"].numpy().transpose(1, 2, 0)
        assert np.array_equal(pixels, image[y : y + 48, x : x + 48])


def test_window_of_a_classifier(classifier, files, tmp_path, written):
    names = written(plot_window({"a": classifier}, files, str(tmp_path)))
    assert names == {"window.json", *(f"window_{stem}.png" for stem in files)}
    found = next(iter(json.loads((tmp_path / "window.json").read_text()).values()))
    assert found["offsets"] == [[4, x] for x in range(9)]
    windows = cut_windows(classifier.cfg, next(iter(files.values())))
    with torch.no_grad():
        logits = classifier.model([windows.items[5]])[0]["logits"]
    expected = float(logits.softmax(0)[found["class"]])
    assert found["models"]["a"]["probability"][5] == pytest.approx(expected, abs=1e-5)


def test_models_that_cannot_be_compared(detector, classifier, files, tmp_path):
    with pytest.raises(InputError, match="b: its windows differ from the windows of a"):
        plot_window({"a": detector, "b": classifier}, files, str(tmp_path))
