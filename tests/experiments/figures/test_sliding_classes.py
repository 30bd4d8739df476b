import numpy as np
import pytest
from experiments.figures.names import NAMES, assert_drawn

from aa_detectron.experiments.figures.sliding_classes import draw_probability, follow_class

OFFSETS = [(12, x) for x in range(4)]


def test_followed_class_by_hand():
    a = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.7, 0.2, 0.1]])
    b = np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3], [0.4, 0.3, 0.3]])
    found = follow_class({"a": a, "b": b})
    assert found["class"] == 0
    assert found["models"]["a"] == {"probability": [0.6, 0.2, 0.7], "top1": [0, 1, 0], "changes": 2}
    assert found["models"]["b"]["changes"] == 1


def draw(names, class_name="rectangle"):
    found = follow_class(dict.fromkeys(names, np.eye(4))) | {"class_name": class_name}
    return draw_probability(np.zeros((64, 64, 3), np.uint8), (40, 40), found, OFFSETS)


def test_legend_of_four_models_fits():
    figure = draw(["plain", "blur", "adaptive", "adaptive, k 5"])
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 and box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("name", NAMES)
def test_names_are_drawn_as_they_are(name):
    assert_drawn(draw([name]), f"{name}, top-1 changes 3x")
    assert_drawn(draw(["a"], class_name=name), f'probability of "{name}"')
