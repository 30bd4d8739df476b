"""A tree by hand, in the layout that stage 1 of the Data Science Bowl 2018 unpacks to."""

import importlib
import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from pycocotools import mask as coco_mask

from aa_detectron.data.datasets import builtin, nuclei
from aa_detectron.errors import InputError

SIZE = (12, 20)


def rectangle(top, left, bottom, right):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


MASKS = {
    "a": [rectangle(0, 0, 3, 4), rectangle(5, 2, 12, 9), rectangle(3, 10, 10, 20)],
    "b": [rectangle(2, 2, 4, 4) | rectangle(8, 8, 9, 11)],
    "c": [rectangle(0, 0, 12, 20)],
}
IDS = {"train": ["a", "b"], "val": ["c"]}


def save_mask(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "nuclei" / "stage1_train"
    for name, masks in MASKS.items():
        (folder / name / "images").mkdir(parents=True)
        image = Image.new("RGBA", SIZE[::-1], (10, 20, 30, 128))
        image.save(folder / name / "images" / f"{name}.png")
        for number, mask in enumerate(masks):
            save_mask(folder / name / "masks" / f"{number}.png", mask)
    (folder / "in_no_list").mkdir()
    monkeypatch.setattr(nuclei, "read_split", IDS.get)
    return tmp_path


@pytest.fixture
def registered(root):
    builtin.register_nuclei(str(root))
    yield root
    importlib.reload(builtin)  # back to where it was


def masks_of(root, name):
    return root / "nuclei" / "stage1_train" / name / "masks"


def convert(root):
    return [nuclei.convert_nuclei(str(root), split) for split in nuclei.SPLITS]


def read(root, split):
    return json.loads((root / "nuclei" / "annotations" / f"instances_{split}.json").read_text())


@pytest.mark.parametrize("split", ["train", "val"])
def test_annotations_are_the_masks(root, split):
    convert(root)
    content = read(root, split)
    assert [i["file_name"] for i in content["images"]] == [
        f"{name}/images/{name}.png" for name in IDS[split]
    ]
    assert {(i["height"], i["width"]) for i in content["images"]} == {SIZE}
    expected = [(number, mask) for number, name in enumerate(IDS[split], 1) for mask in MASKS[name]]
    assert len(content["annotations"]) == len(expected)
    assert len({a["id"] for a in content["annotations"]}) == len(expected)
    for annotation, (number, mask) in zip(content["annotations"], expected, strict=True):
        assert np.array_equal(coco_mask.decode(annotation["segmentation"]) > 0, mask)
        rows, columns = np.nonzero(mask)
        left, top = columns.min(), rows.min()
        box = [left, top, columns.max() + 1 - left, rows.max() + 1 - top]
        assert annotation["bbox"] == box and annotation["area"] == mask.sum()
        assert annotation["image_id"] == number and annotation["iscrowd"] == 0


def test_loads_as_registered(registered):
    convert(registered)
    records = DatasetCatalog.get("nuclei_train")
    assert MetadataCatalog.get("nuclei_train").evaluator_type == "coco"
    assert MetadataCatalog.get("nuclei_train").thing_classes == ["nucleus"]
    assert [len(r["annotations"]) for r in records] == [3, 1]
    assert all(Image.open(r["file_name"]).size == (r["width"], r["height"]) for r in records)
    found = [coco_mask.decode(a["segmentation"]) > 0 for a in records[0]["annotations"]]
    assert np.array_equal(found, MASKS["a"])


def test_missing_annotations_name_the_tool(registered):
    with pytest.raises(InputError, match="instances_val.json; .*tools/prepare_nuclei.py"):
        DatasetCatalog.get("nuclei_val")


def test_annotations_that_exist_are_kept(root):
    assert convert(root) == [True, True]
    path = root / "nuclei" / "annotations" / "instances_train.json"
    path.write_text("kept")
    assert convert(root) == [False, False] and path.read_text() == "kept"


def test_hidden_files_and_touching_masks_are_legal(root):
    masks = masks_of(root, "a")
    (masks / ".DS_Store").write_bytes(b"x")
    (masks / "._0.png").write_bytes(b"x")
    # 2 of its 22 pixels are in 2.png, too.
    save_mask(masks / "9.png", rectangle(10, 10, 12, 20) | rectangle(9, 10, 10, 12))
    convert(root)
    assert sum(a["image_id"] == 1 for a in read(root, "train")["annotations"]) == 4


def overlap(masks):
    save_mask(masks / "1b.png", rectangle(6, 2, 12, 9))


def wrong_size(masks):
    Image.new("L", (19, 12), 255).save(masks / "1.png")


def empty(masks):
    save_mask(masks / "1.png", np.zeros(SIZE, bool))


def truncated(masks):
    noise = np.random.default_rng(0).integers(0, 2, (12, 20), np.uint8) * 255
    Image.fromarray(noise).save(masks / "1.png")
    (masks / "1.png").write_bytes((masks / "1.png").read_bytes()[:60])


def color(masks):
    Image.new("RGB", SIZE[::-1], (255, 255, 255)).save(masks / "1.png")


def stray(masks):
    (masks / "notes.txt").write_text("x")


def none(masks):
    for path in masks.iterdir():
        path.unlink()


def gone(masks):
    none(masks)
    masks.rmdir()


def no_image(masks):
    (masks.parent / "images" / "b.png").unlink()


def truncated_image(masks):
    path = masks.parent / "images" / "b.png"
    path.write_bytes(path.read_bytes()[:50])


def no_folder(masks):
    masks.parent.rename(masks.parent.with_name("elsewhere"))


@pytest.mark.parametrize(
    "damage, name, words",
    [
        (overlap, "a/masks/1b.png", "overlaps other masks by 100%, but at most 10% may"),
        (wrong_size, "a/masks/1.png", "is of 12x19 pixels, its image of 12x20"),
        (empty, "a/masks/1.png", "is empty"),
        (truncated, "a/masks/1.png", "cannot be read as a label map"),
        (color, "a/masks/1.png", "is of mode 'RGB', but must be 'L'"),
        (stray, "a/masks/notes.txt", "is no mask, expected PNGs only"),
        (none, "b/masks", "found no masks"),
        (gone, "b/masks", "cannot be read (No such file"),
        (no_image, "b/images/b.png", "cannot be read as an image"),
        (truncated_image, "b/images/b.png", "cannot be read as an image"),
        (no_folder, "b", "no such folder, 1 of 2 folders are missing"),
    ],
)
def test_malformed_input_is_one_line(root, damage, name, words):
    damage(masks_of(root, name.split("/")[0]))
    with pytest.raises(InputError) as error:
        convert(root)
    message = str(error.value)
    assert message.startswith(f"{root}/nuclei/stage1_train/{name}: ") and "\n" not in message
    assert words in message
    assert not (root / "nuclei" / "annotations").exists(), "nothing is written"


def test_lists_divide_the_images():
    train, val = map(nuclei.read_split, nuclei.SPLITS)
    assert (len(train), len(val)) == (542, 122)
    assert len({*train, *val}) == 664
    assert train == sorted(train) and val == sorted(val)
    assert all(len(i) == 64 and set(i) <= set("0123456789abcdef") for i in [*train, *val])
