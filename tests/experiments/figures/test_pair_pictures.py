import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from helpers import read_pair_record

from aa_detectron.consistency.label_maps import label_pair_record
from aa_detectron.experiments.figures import pair_pictures
from aa_detectron.experiments.figures.pair_pictures import (
    LEGENDS,
    draw_class_pair,
    draw_label_pair,
    draw_pair,
)
from aa_detectron.experiments.figures.panels import CONSISTENT, GAP, INCONSISTENT
from aa_detectron.experiments.figures.style import class_name


def square(y0, x0, side, masks=True):
    found = Instances((48, 60))
    found.pred_boxes = Boxes(torch.tensor([[x0, y0, x0 + side, y0 + side]], dtype=torch.float32))
    found.pred_classes, found.scores = torch.tensor([0]), torch.tensor([0.9])
    if masks:
        found.pred_masks = torch.zeros(1, 48, 60, dtype=torch.bool)
        found.pred_masks[0, y0 : y0 + side, x0 : x0 + side] = True
    return found


def compare(first, second):
    return read_pair_record(1, 0, ((0, 0), (4, 4)), (48, 60), first, second)


def red_pixels(first, second):
    record = compare(first, second)
    grey = [np.full((48, 60, 3), 128, np.uint8)] * 2
    picture = draw_pair(grey, [first, second], record, ["thing"]).astype(int)
    assert picture.shape == (48 * 8, 2 * 60 * 8 + GAP, 3)
    return ((picture[..., 0] - picture[..., 1:].max(-1)) > 60).mean()


def test_inconsistent_instances_are_red():
    for masks in (True, False):
        same = square(20, 20, 16, masks), square(16, 16, 16, masks)
        moved = square(20, 20, 16, masks), square(16, 24, 16, masks)
        assert red_pixels(*same) < 0.001 < 0.004 < red_pixels(*moved)


def test_nothing_found():
    nothing = square(20, 20, 16)[torch.tensor([False])]
    assert red_pixels(nothing, nothing) == 0


def test_different_labels_are_red():
    first = np.zeros((48, 60), int)
    second = np.zeros((48, 60), int)
    second[10:20, 5:25] = 1
    grey = [np.full((48, 60, 3), 128, np.uint8)] * 2
    offsets = ((0, 0), (4, 3))
    record = label_pair_record(1, 0, offsets, first, second)
    picture = draw_label_pair(grey, [first, second], record, [[0, 0, 0], [0, 0, 255]])
    assert picture.shape == (48 * 8, 3 * 60 * 8 + 2 * GAP, 3)
    panels = [picture[:, i * (480 + GAP) :][:, :480].astype(int) for i in range(3)]
    # At the place of the first crop, 4 rows and 3 columns further.
    red = panels[2][..., 0] - panels[2][..., 1:].max(-1) > 100
    assert red[14 * 8 : 24 * 8, 8 * 8 : 28 * 8].mean() > 0.98
    assert red.sum() < 1.02 * 10 * 20 * 64
    blue = panels[1][..., 2] - panels[1][..., 0] > 100
    assert blue[10 * 8 : 20 * 8, 5 * 8 : 25 * 8].mean() > 0.98
    assert not (panels[0][..., 2] - panels[0][..., 0] > 100).any()


def test_different_classes_are_red():
    grey = [np.full((60, 60, 3), 128, np.uint8)] * 2
    for labels, is_red in (((0, 1), True), ((1, 1), False)):
        sides = [{"label": label, "score": 0.5} for label in labels]
        section = {"first": sides[0], "second": sides[1], "category": None}
        picture = draw_class_pair(grey, {"classification": section}, ["cat", "dog"]).astype(int)
        assert picture.shape == (60 * 8, 2 * 60 * 8 + GAP, 3)
        red = (picture[..., 0] - picture[..., 1:].max(-1)) > 60
        assert red.any() == is_red


def labels(first, second):
    """The labels that are drawn in each crop."""
    record = compare(first, second)
    drawn = []

    class Recorder(pair_pictures.Visualizer):
        def overlay_instances(self, *, labels, **kwargs):
            drawn.append(labels)
            return super().overlay_instances(labels=labels, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_pictures, "Visualizer", Recorder)
        draw_pair([np.full((48, 60, 3), 128, np.uint8)] * 2, [first, second], record, ["a $\\x{$"])
    return drawn


def test_labels_say_how_well_an_instance_is_matched():
    at = square(20, 20, 16)
    name = r"a \$\x{\$ 90%"
    assert labels(at, square(16, 16, 16)) == [[name], [name]]
    # Moved by 8 of 16 pixels: 8 / 24.
    assert labels(at, square(16, 24, 16)) == [[name + " IoU 0.33"], [name + " IoU 0.33"]]
    assert labels(at, square(16, 0, 8)) == [[name + " no match"], [name + " no match"]]


def test_legends_explain_every_color():
    for kind, entries in LEGENDS.items():
        colors = [entry.colors for entry in entries]
        assert (INCONSISTENT,) in colors
        assert ((() in colors) == (kind != "classification")) and all(e.text for e in entries)
    assert set(LEGENDS["instances"][1].colors) < set(CONSISTENT)


def test_a_class_that_the_dataset_does_not_have():
    """A model with more classes than the dataset: the number stands for the name."""
    assert [class_name(label, ["nucleus"]) for label in (0, 5)] == ["nucleus", "5"]
    assert class_name(5, None) == "5"
