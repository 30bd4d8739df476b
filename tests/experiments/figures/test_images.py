import numpy as np
import pytest
from PIL import Image

from aa_detectron.errors import InputError
from aa_detectron.experiments.figures.aliasing import plot_aliasing
from aa_detectron.experiments.figures.images import find_images, input_as_rgb, model_input


def test_images(tmp_path):
    files = find_images(["coffee", "astronaut"])
    assert list(files) == ["coffee", "astronaut"]
    for path in files.values():
        assert Image.open(path).mode == "RGB"
    for name in ("coffee.png", "b.png"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="b.jpg: is neither a file nor a photograph"):
        find_images([str(tmp_path / "b.jpg")])
    with pytest.raises(InputError, match="would have the names of the figures of .*skimage"):
        find_images(["coffee", str(tmp_path / "coffee.png")])
    with pytest.raises(InputError, match="b.png: cannot be read as an image"):
        plot_aliasing(find_images([str(tmp_path / "b.png")]), str(tmp_path), 0.1)


def test_input_in_colors(detector, files):
    """The config reads BGR, at a size that the test's resize keeps."""
    path = next(iter(files.values()))
    shown = input_as_rgb(detector.cfg, model_input(detector.cfg, path))
    assert np.array_equal(shown, np.asarray(Image.open(path)))
