import numpy as np
import pytest
from experiments.figures.windowed import OFFSETS, SEEN, windowed
from PIL import Image

from aa_detectron.errors import InputError
from aa_detectron.experiments.figures.sliding_animation import STRIP, draw_frames, save_animation
from aa_detectron.experiments.figures.sliding_instances import follow_instances


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


def test_rare_colors_stay_in_an_animation(tmp_path):
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
