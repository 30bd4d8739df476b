import numpy as np
from PIL import Image

from aa_detectron.experiments.figures.panels import Entry, add_key, save_image

RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def test_saved(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    save_image(tmp_path / "a.png", image)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)


def test_key_is_below_the_image_and_has_all_colors():
    image = np.random.default_rng(0).integers(0, 100, (20, 300, 3), dtype=np.uint8)
    entries = [Entry((RED,), "one"), Entry((RED, BLUE), "two"), Entry((), "a dashed line")]
    found = add_key(image, entries)
    assert np.array_equal(found[:20], image) and found.shape[1:] == (300, 3)
    key = found[20:].reshape(-1, 3)
    red, blue = ((key == np.array(color) * 255).all(1).sum() for color in (RED, BLUE))
    assert red > 2 * blue > 200
    assert (key == 0).all(1).any()  # text


def test_key_takes_the_rows_that_it_needs():
    image, entries = np.zeros((20, 300, 3), np.uint8), [Entry((RED,), "a text of some length")] * 4
    heights = [add_key(image, entries[:n]).shape[0] for n in (1, 2, 4)]
    assert heights[0] < heights[1] < heights[2]
    wide = np.zeros((20, 2000, 3), np.uint8)
    assert add_key(wide, entries).shape[0] == heights[0]
