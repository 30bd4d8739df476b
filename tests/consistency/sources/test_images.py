"""Every source of images."""

import json
import sys

import numpy as np
import pycocotools.mask as mask_util
import pytest
from consistency.models import noise
from PIL import Image

from aa_detectron.consistency.sources.images import ImageItem, open_images, read_image
from aa_detectron.errors import InputError, InvalidOption

SIZE = (40, 48)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images" / "below").mkdir(parents=True)
    for number, name in enumerate(["b.png", "a.png", "below/c.png"]):
        Image.fromarray(noise(number, SIZE)).save(tmp_path / "images" / name)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def ids(items):
    return [item.image_id for item in items]


def test_folder(folder):
    items = open_images(folder)
    assert ids(items) == ids(open_images(str(folder))) == ["a.png", "b.png", "below/c.png"]
    assert np.array_equal(items[0].read(), noise(1, SIZE))


def test_arrays_paths_and_items(folder):
    item = ImageItem("x", lambda: noise(9, SIZE))
    items = open_images([noise(5, SIZE), folder / "a.png", item])
    assert ids(items) == [0, (folder / "a.png").as_posix(), "x"]
    for number, item in zip((5, 1, 9), items, strict=True):
        assert np.array_equal(item.read(), noise(number, SIZE))
    assert ids(open_images(noise(i) for i in range(3))) == [0, 1, 2]


def coco(folder, **changes):
    polygon = [4, 5, 20, 5, 20, 15, 4, 15]
    rle = mask_util.encode(np.asfortranarray(np.eye(*SIZE, dtype=np.uint8)))
    rle["counts"] = rle["counts"].decode()
    objects = [
        {"category_id": 7, "bbox": [4, 5, 16, 10], "segmentation": [polygon], "iscrowd": 0},
        {"category_id": 3, "bbox": [0, 0, 40, 40], "segmentation": rle, "iscrowd": 0},
        {"category_id": 3, "bbox": [1, 1, 9, 9], "segmentation": rle, "iscrowd": 1},
    ]
    image = {"id": 12, "file_name": "a.png", "height": 40, "width": 48}
    content = {
        "images": [image, image | {"id": "y", "file_name": "b.png"}],
        "annotations": [{"id": i, "image_id": 12, **o} for i, o in enumerate(objects)],
    }
    path = folder.parent / "coco.json"
    path.write_text(json.dumps(content | changes))
    return path


def test_coco(folder):
    items = open_images(coco(folder), folder, truth=True)
    assert ids(items) == [12, "y"] and np.array_equal(items[1].read(), noise(0, SIZE))
    first, second = (item.truth for item in items)
    assert first["boxes"].tolist() == [[4, 5, 20, 15], [0, 0, 40, 40]]
    assert first["classes"].tolist() == [7, 3]
    assert mask_util.area(first["masks"]).tolist() == [160, 40]
    assert len(second["boxes"]) == len(second["masks"]) == 0
    mapped = open_images(coco(folder), folder, truth=True, category_ids=[3, 7])
    assert mapped[0].truth["classes"].tolist() == [1, 0]
    assert open_images(coco(folder), folder)[0].truth is None


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"images": None}, "images is None, but must be a list: a COCO JSON"),
        ({"images": [{"id": 1}]}, r"images\[0\] is .*, without file_name"),
        ({"annotations": [{"image_id": 12}]}, r"annotations\[0\] is .*, without category_id"),
        (
            {"annotations": [{"image_id": [1], "category_id": 1, "bbox": [0, 0, 1, 2]}]},
            r"annotations\[0\] image_id is \[1\], but must be a number or a text",
        ),
        (
            {"annotations": [{"image_id": 3, "category_id": 1, "bbox": [0, 0, 1, 2]}]},
            "annotations have image_id 3, but no image has this id",
        ),
        (
            {"annotations": [{"image_id": 12, "category_id": 1, "bbox": [0, 0, -1, 2]}]},
            "annotation None bbox is",
        ),
        (
            {"annotations": [{"image_id": 12, "category_id": -1, "bbox": [0, 0, 1, 2]}]},
            "category_id -1, but must have an integer from 0",
        ),
        (
            {"annotations": [{"image_id": 12, "category_id": 10**30, "bbox": [0, 0, 1, 2]}]},
            "category_id 10+, but must have an integer from 0 to 9223372036854775807",
        ),
    ],
)
def test_malformed_coco(folder, changes, message):
    with pytest.raises(InputError, match=message):
        open_images(coco(folder, **changes), folder, truth=True)


@pytest.mark.parametrize("options", [{"truth": True}, {"folder": "x"}, {"category_ids": [1]}])
def test_options_of_a_coco_json_only(folder, options):
    with pytest.raises(InputError, match="are for a COCO JSON only"):
        open_images(folder, **options)
    with pytest.raises(InputError, match="every is for a video only"):
        open_images(coco(folder), folder, every=2)


@pytest.mark.parametrize(
    "option", [{"truth": True}, {"folder": "x"}, {"category_ids": [1]}, {"every": 7}]
)
def test_an_iterable_takes_no_options(option):
    kind = "a video" if "every" in option else "a COCO JSON"
    with pytest.raises(InputError, match=f"images of type list: .* for {kind} only"):
        open_images([noise(0)], **option)
    with pytest.raises(InputError, match="images of type generator: "):
        open_images((noise(i) for i in range(3)), **option)


def test_a_size_that_is_not_the_files(folder):
    image = {"id": 1, "file_name": "a.png", "height": 41, "width": 48}
    (item,) = open_images(coco(folder, images=[image]), folder)
    with pytest.raises(InputError, match="a.png: is of 40x48 pixels, the COCO JSON says 41x48"):
        item.read()


def test_category_ids_that_lack_one(folder):
    with pytest.raises(InputError, match=r"category_id 7, but must have one of \[3\]"):
        open_images(coco(folder), folder, truth=True, category_ids=[3])
    with pytest.raises(InputError, match="json: category_ids has no effect without truth"):
        open_images(coco(folder), folder, category_ids=[3, 7])


def test_video(tmp_path):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for level in (0, 60, 120, 180, 240):
        writer.write(np.full((48, 64, 3), (0, 0, level), np.uint8))
    writer.release()
    items = [(item.image_id, item.read()) for item in open_images(path, every=2)]
    assert [number for number, _ in items] == [0, 2, 4]
    for number, image in items:
        assert image.shape == (48, 64, 3)
        assert np.abs(image.mean(axis=(0, 1)) - [60 * number, 0, 0]).max() < 5
    with pytest.raises(InvalidOption, match="every is 0"):
        open_images(path, every=0)


def test_video_that_is_none(tmp_path):
    pytest.importorskip("cv2")
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="x.mp4: cannot be read as a video"):
        list(open_images(tmp_path / "x.mp4"))


def test_video_without_opencv(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match="needs OpenCV"):
        open_images(tmp_path / "x.mp4")


def test_what_holds_no_images(tmp_path):
    with pytest.raises(InputError, match="no images there"):
        open_images(tmp_path)
    with pytest.raises(InputError, match="nowhere: is missing, but must be a folder"):
        open_images(tmp_path / "nowhere")
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(InputError, match="x.txt: is another file, but must"):
        open_images(tmp_path / "x.txt")
    with pytest.raises(InputError, match="x.json: cannot be read as JSON"):
        open_images(tmp_path / "x.json")


def test_modes_of_images(tmp_path):
    grey = noise(0, SIZE)[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 256 + 9).save(tmp_path / "wide.png")
    assert np.array_equal(read_image(tmp_path / "wide.png"), np.stack([grey] * 3, -1))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(0, SIZE)).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "turned.png"), np.rot90(noise(0, SIZE), -1))
    Image.fromarray(grey.astype(np.uint16) * 256).save(tmp_path / "wide.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "wide.png"), np.rot90(np.stack([grey] * 3, -1), -1))
