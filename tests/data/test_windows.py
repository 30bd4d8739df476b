import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.utils import comm
from PIL import Image

from aa_detectron import add_aa_config
from aa_detectron.data.windows import build_shifted_window_loader
from aa_detectron.errors import InputError


def config():
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.INPUT.FORMAT = "RGB"
    cfg.DATALOADER.NUM_WORKERS = 0
    return cfg


@pytest.fixture
def folder(tmp_path):
    """Images whose first two channels are rows and columns."""
    for number, (height, width) in enumerate([(200, 180), (64, 80), (48, 32)]):
        rows, columns = np.mgrid[:height, :width]
        image = np.stack([rows, columns, np.full_like(rows, number)], axis=2).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    return str(tmp_path)


def windows(folder):
    return [item for batch in build_shifted_window_loader(config(), folder) for item in batch]


def test_windows_show_their_place(folder):
    items = windows(folder)
    assert [item["window"]["count"] for item in items] == [21] * 21 + [13] * 13 + [9] * 9
    assert [item["window"]["number"] for item in items] == [*range(21), *range(13), *range(9)]
    for item in items:
        y, x = item["window"]["offset"]
        height, width = item["window"]["image_size"]
        margin = min(41, min(height, width) // 4)
        assert item["image"].shape[1:] == (height - margin, width - margin)
        assert (item["height"], item["width"]) == (height - margin, width - margin)
        assert item["image"][:2, 0, 0].tolist() == [y, x]
        assert f"{item['image'][2, 0, 0]}.png" == item["image_id"]


def test_processes_take_whole_images(folder, monkeypatch):
    expected = [item["image_id"] for item in windows(folder)]
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        shares.append([item["image_id"] for item in windows(folder)])
    assert shares[0] + shares[1] == expected
    assert set(shares[0]).isdisjoint(shares[1])


def test_too_small(tmp_path):
    Image.new("RGB", (7, 50)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="a.png: 50x7 pixels leave no room for a shift"):
        windows(str(tmp_path))
