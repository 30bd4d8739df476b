import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image

from aa_detectron.errors import InputError
from aa_detectron.experiments.figures.sliding_instances import (
    STRIP,
    draw_counts,
    draw_frames,
    follow_instances,
    save_animation,
)
from aa_detectron.experiments.figures.sliding_window import (
    draw_probability,
    follow_class,
    row_of_offsets,
)


def test_offsets():
    assert row_of_offsets(4) == [(2, 0), (2, 1), (2, 2), (2, 3), (2, 4)]


def test_followed_class_by_hand():
    a = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.7, 0.2, 0.1]])
    b = np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3], [0.4, 0.3, 0.3]])
    found = follow_class({"a": a, "b": b})
    assert found["class"] == 0
    assert found["models"]["a"] == {"probability": [0.6, 0.2, 0.7], "top1": [0, 1, 0], "changes": 2}
    assert found["models"]["b"]["changes"] == 1


def windowed(offset, *squares, masks=True):
    """Squares (y, x, side, score) of the image as a window of 40 x 40 at ``offset`` shows them."""
    found = Instances((40, 40))
    pixels = torch.zeros(len(squares), 64, 64, dtype=torch.bool)
    boxes = torch.zeros(len(squares), 4)
    for i, (y, x, side, _) in enumerate(squares):
        pixels[i, y : y + side, x : x + side] = True
        boxes[i] = torch.tensor([x, y, x + side, y + side]) - torch.tensor(offset[::-1] * 2)
    if masks:
        found.pred_masks = pixels[:, offset[0] : offset[0] + 40, offset[1] : offset[1] + 40]
    found.pred_boxes = Boxes(boxes)
    found.scores = torch.tensor([square[3] for square in squares])
    found.pred_classes = torch.zeros(len(squares), dtype=torch.long)
    return found


STAYS, GOES, SHRINKS, WEAK = (20, 20, 10, 0.9), (30, 34, 8, 0.8), (24, 20, 6, 0.9), (20, 20, 9, 0.1)
OFFSETS = [(12, x) for x in range(4)]
SEEN = [(STAYS, GOES), (GOES, WEAK, STAYS), (STAYS,), (SHRINKS, GOES)]


@pytest.mark.parametrize("masks", [True, False])
def test_instances_are_followed(masks):
    outputs = [windowed(o, *s, masks=masks) for o, s in zip(OFFSETS, SEEN, strict=True)]
    found = follow_instances(outputs, OFFSETS)
    tracks = [[i["track"] for i in p["instances"]] for p in found["positions"]]
    stays, goes = tracks[0]
    assert tracks[1:3] == [[goes, stays], [stays]]
    assert not set(tracks[3]) & {stays, goes}  # one has shrunk to an IoU of 0.36, one is back
    assert [p["appeared"] for p in found["positions"]] == [[], [], [], [0, 1]]
    assert [p["vanished"] for p in found["positions"]] == [[], [], [0], [0]]
    assert (found["appeared"], found["vanished"]) == (2, 2)
    assert found["consistency"] == pytest.approx(100 * (1 + 0.5 + 0) / 3)


def test_nothing_found_anywhere():
    found = follow_instances([windowed(offset) for offset in OFFSETS], OFFSETS)
    assert (found["appeared"], found["vanished"]) == (0, 0)
    assert np.isnan(found["consistency"])


def reds(frame):
    frame = frame.astype(int)
    return int(((frame[..., 0] - frame[..., 1:].max(-1)) > 150).sum())


def test_frames():
    outputs = [windowed(o, *s) for o, s in zip(OFFSETS, SEEN, strict=True)]
    model = (outputs, follow_instances(outputs, OFFSETS))
    frames = draw_frames(np.full((64, 64, 3), 128, np.uint8), {"a": model, "b": model}, OFFSETS)
    assert len(frames) == 4 and len({frame.shape for frame in frames}) == 1
    assert [reds(frame) > 0 for frame in frames] == [False, False, True, True]
    assert frames[0][-1, 0].tolist() == [57] * 3  # outside of the window
    # The one that has vanished, where it was in the image, enlarged 7 times below the text.
    place = slice(STRIP + 7 * 29, STRIP + 7 * 39), slice(7 * 33, 7 * 43)
    assert 2 * reds(frames[2][place]) == reds(frames[2])


def test_counts():
    outputs = [windowed(o, *s) for o, s in zip(OFFSETS, SEEN, strict=True)]
    above, below = draw_counts({"a": follow_instances(outputs, OFFSETS)}, OFFSETS).axes
    assert above.lines[0].get_ydata().tolist() == [2, 2, 1, 2]
    assert [bar.get_height() for bar in below.patches] == [0, 0, 0, 2, 0, 0, -1, -1]


def test_legends_of_four_models_fit():
    outputs = [windowed(o, *s) for o, s in zip(OFFSETS, SEEN, strict=True)]
    followed = follow_instances(outputs, OFFSETS)
    names = ["plain", "blur", "adaptive", "adaptive, k 5"]
    counts = draw_counts(dict.fromkeys(names, followed), OFFSETS)
    found = follow_class(dict.fromkeys(names, np.eye(4))) | {"class_name": "rectangle"}
    probability = draw_probability(np.zeros((64, 64, 3), np.uint8), (40, 40), found, OFFSETS)
    for figure in (counts, probability):
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert 0 <= box.x0 and box.x1 <= figure.bbox.x1


def test_rare_colours_stay_in_an_animation(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 120, (60, 80, 3), dtype=np.uint8) for _ in range(3)]
    frames[1][20:23, 30:40] = (227, 26, 28)
    save_animation(tmp_path / "a.gif", frames)
    with Image.open(tmp_path / "a.gif") as image:
        image.seek(1)
        found = np.asarray(image.convert("RGB")).astype(int)[21, 35]
    assert np.abs(found - (227, 26, 28)).max() < 12


def test_animation_is_whole_or_not_there(tmp_path):
    frames = [np.full((6, 8, 3), 60 * i, np.uint8) for i in range(4)]
    save_animation(tmp_path / "a.gif", frames)
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (4, (8, 6), 0)
        for i in range(4):
            image.seek(i)
            assert np.asarray(image.convert("RGB"))[0, 0].tolist() == [60 * i] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]
    with pytest.raises(InputError, match="b.gif: cannot be written"):
        save_animation(tmp_path / "a.gif" / "b.gif", frames)
