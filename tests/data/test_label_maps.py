import numpy as np
import pytest
import torch
from PIL import Image

from aa_detectron.data.label_maps import (
    check_label_file,
    check_labels,
    read_label_map,
    write_label_map,
)
from aa_detectron.errors import InputError

READERS = [read_label_map, check_label_file]


@pytest.fixture
def path(tmp_path):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_label_map(tmp_path / "deeper" / "a.png", labels)
    return tmp_path / "deeper" / "a.png"


def test_written_and_read(path):
    labels = read_label_map(str(path), (3, 4))
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, np.arange(12).reshape(3, 4))
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("read", READERS)
def test_another_size(path, read):
    with pytest.raises(InputError, match="a.png: is of 3x4 pixels, its image of 4x3"):
        read(str(path), (4, 3))


@pytest.mark.parametrize("read", READERS)
def test_missing(path, read):
    with pytest.raises(InputError, match="b.png: cannot be read as a label map .*No such file"):
        read(str(path.with_name("b.png")))


@pytest.mark.parametrize("read", READERS)
def test_no_image(path, read):
    path.write_text("labels")
    with pytest.raises(InputError, match="a.png: cannot be read as a label map"):
        read(str(path))


def test_truncated(path):
    write_label_map(path, np.random.default_rng(0).integers(0, 9, (60, 60), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError, match="a.png: cannot be read as a label map"):
        read_label_map(str(path))


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("mode", ["RGB", "P", "I;16"])
def test_another_mode(path, read, mode):
    Image.new(mode, (4, 3)).save(path)
    with pytest.raises(InputError, match=f"a.png: is of mode '{mode}', but must be 'L'") as error:
        read(str(path))
    assert ("prepare_sem_seg" in str(error.value)) == (mode == "P")


def test_detectron2_would_take_a_palettes_brightness_for_labels(path):
    """Why palette images are rejected."""
    from detectron2.data.detection_utils import read_image

    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(path)
    assert set(np.unique(read_image(str(path), "L"))) == {0, 38, 75}


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_labels_in_range(kind):
    check_labels(kind([[0, 5], [255, 1]]), 6, 255, "a.png")
    for labels, found in (([[0, 6], [7, 255]], 6), ([[255, 254], [0, 0]], 254), ([[-1, 0]], -1)):
        with pytest.raises(InputError, match=f"a.png: has label {found}, .* 0 to 5 and 255"):
            check_labels(kind(labels), 6, 255, "a.png")
