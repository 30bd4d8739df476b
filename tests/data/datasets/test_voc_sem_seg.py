"""A tree by hand, in the layout that the downloads of VOC 2012 and SBD unpack to."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from aa_detectron.data.datasets import voc_sem_seg
from aa_detectron.data.datasets.conversion import convert_all
from aa_detectron.data.datasets.voc_sem_seg import color_map, load_voc_sem_seg
from aa_detectron.data.label_maps import read_label_map
from aa_detectron.errors import InputError

IDS = {"train": ["2007_1", "2007_2"], "val": ["2007_3"]}
SBD = {"train": ["2007_2", "2008_4"], "val": ["2007_3", "2008_5"]}


def labels_of(image_id, source):
    labels = np.full((6, 8), int(image_id[-1]), np.uint8)
    labels[:2] = 255 if source == "voc" else 0
    return labels


def save_palette(path, labels):
    image = Image.fromarray(labels, mode="P")
    image.putpalette(np.ravel(color_map(256)).astype(np.uint8).tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture(params=voc_sem_seg.FOLDERS)
def root(request, tmp_path):
    voc, sbd = tmp_path / request.param, tmp_path / "benchmark_RELEASE" / "dataset"
    lists = voc / "ImageSets" / "Segmentation"
    for folder in (lists, voc / "JPEGImages", sbd / "cls"):
        folder.mkdir(parents=True)
    for split, ids in (IDS | {"trainval": IDS["train"] + IDS["val"]}).items():
        (lists / f"{split}.txt").write_text("\n".join(ids) + "\n")
    for image_id in IDS["train"] + IDS["val"]:
        save_palette(voc / "SegmentationClass" / f"{image_id}.png", labels_of(image_id, "voc"))
    for split, ids in SBD.items():
        (sbd / f"{split}.txt").write_text("\n".join(ids))
        for image_id in ids:
            content = {"Segmentation": labels_of(image_id, "sbd"), "Boundaries": np.zeros(3)}
            savemat(sbd / "cls" / f"{image_id}.mat", {"GTcls": content})
    for image_id in {i for ids in (*IDS.values(), *SBD.values()) for i in ids}:
        Image.new("RGB", (8, 6)).save(voc / "JPEGImages" / f"{image_id}.jpg")
    return tmp_path


def voc_folder(root):
    return voc_sem_seg.find_voc(str(root))


@pytest.mark.parametrize("workers", [1, 2])
def test_voc(root, workers):
    assert convert_all(voc_sem_seg.plan_voc(str(root)), workers) == 3
    assert convert_all(voc_sem_seg.plan_voc(str(root)), workers) == 0
    for split, ids in (IDS | {"trainval": IDS["train"] + IDS["val"]}).items():
        records = load_voc_sem_seg(str(root), split)
        assert [r["image_id"] for r in records] == ids
        for record in records:
            size = Image.open(record["file_name"]).size
            found = read_label_map(record["sem_seg_file_name"], size[::-1])
            assert np.array_equal(found, labels_of(record["image_id"], "voc"))


def test_sbd_is_train_and_val_less_vocs_val_and_vocs_labels_come_first(root):
    assert convert_all(voc_sem_seg.plan_sbd(str(root))) == 4
    voc_sem_seg.write_train_aug_list(str(root))
    records = load_voc_sem_seg(str(root), "train_aug")
    assert [r["image_id"] for r in records] == ["2007_1", "2007_2", "2008_4", "2008_5"]
    for record in records:
        source = "voc" if record["image_id"] in IDS["train"] else "sbd"
        found = read_label_map(record["sem_seg_file_name"])
        assert np.array_equal(found, labels_of(record["image_id"], source))


def test_an_interrupted_conversion_goes_on(root):
    convert_all(voc_sem_seg.plan_voc(str(root)))
    labels = voc_folder(root) / voc_sem_seg.LABELS
    (labels / "2007_2.png").unlink()
    kept = (labels / "2007_1.png").stat().st_mtime_ns
    assert convert_all(voc_sem_seg.plan_voc(str(root))) == 1
    assert (labels / "2007_1.png").stat().st_mtime_ns == kept


def test_colors_are_those_of_voc():
    """Some that are well known, as the devkit's examples show them."""
    colors = dict(zip(voc_sem_seg.CLASSES, color_map(21), strict=True))
    assert colors["background"] == [0, 0, 0] and colors["aeroplane"] == [128, 0, 0]
    assert colors["person"] == [192, 128, 128] and colors["tvmonitor"] == [0, 64, 128]
    assert color_map(256)[255] == [224, 224, 192]


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="VOCdevkit/VOC2012 or .*VOC2012"):
        load_voc_sem_seg(str(tmp_path), "val")


def test_empty_list(root):
    path = voc_folder(root) / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text("\n")
    with pytest.raises(InputError, match=f"{path}: found no image"):
        load_voc_sem_seg(str(root), "val")


def test_missing_list(root):
    with pytest.raises(InputError, match="train_aug.txt: .*prepare_sem_seg.py sbd"):
        load_voc_sem_seg(str(root), "train_aug")
    shutil.rmtree(root / "benchmark_RELEASE")
    with pytest.raises(InputError, match="benchmark_RELEASE/dataset/train.txt: cannot be read"):
        list(voc_sem_seg.plan_sbd(str(root)))


def test_labels_that_are_not_converted(root):
    with pytest.raises(
        InputError, match="2007_3.png: no such file, 1 of 1 .*prepare_sem_seg.py voc"
    ):
        load_voc_sem_seg(str(root), "val")


def test_missing_image(root):
    convert_all(voc_sem_seg.plan_voc(str(root)))
    (voc_folder(root) / "JPEGImages" / "2007_2.jpg").unlink()
    with pytest.raises(InputError, match="2007_2.jpg: no such file, 1 of 2"):
        load_voc_sem_seg(str(root), "train")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", ["png", "mat"])
def test_broken_source_names_the_file(root, kind, workers):
    source = root / "benchmark_RELEASE" / "dataset" / "cls" / "2008_4.mat"
    if kind == "png":
        source = voc_folder(root) / "SegmentationClass" / "2007_1.png"
    source.write_bytes(source.read_bytes()[:70])
    with pytest.raises(InputError, match=f"{source}: holds no label map") as error:
        convert_all(voc_sem_seg.plan_sbd(str(root)), workers)
    assert "\n" not in str(error.value)
    target = voc_folder(root) / voc_sem_seg.LABELS_AUG / f"{source.stem}.png"
    assert not target.exists()


def test_colors_are_rejected(root):
    path = voc_folder(root) / "SegmentationClass" / "2007_1.png"
    Image.new("RGB", (8, 6)).save(path)
    with pytest.raises(InputError, match="2007_1.png: holds no label map .*mode 'RGB'"):
        convert_all(voc_sem_seg.plan_voc(str(root)))


@pytest.mark.parametrize("step", [-(10**9), 10**9])
def test_labels_of_a_source_that_has_changed(root, step, caplog):
    """Whether the new source is younger or older, as files from an archive are."""
    convert_all(voc_sem_seg.plan_voc(str(root)))
    load_voc_sem_seg(str(root), "train")
    assert not caplog.records
    source = voc_folder(root) / "SegmentationClass" / "2007_2.png"
    changed = source.stat().st_mtime_ns + step
    save_palette(source, np.full((6, 8), 9, np.uint8))
    os.utime(source, ns=(changed, changed))
    (record,) = load_voc_sem_seg(str(root), "train")[1:]
    assert ("2007_2.png: 1 label maps are older" in caplog.text) == (step > 0)
    assert convert_all(voc_sem_seg.plan_voc(str(root))) == 1
    assert (read_label_map(record["sem_seg_file_name"]) == 9).all()


def test_labels_without_their_source_are_kept(root):
    convert_all(voc_sem_seg.plan_voc(str(root)))
    (voc_folder(root) / "SegmentationClass" / "2007_2.png").unlink()
    assert convert_all(voc_sem_seg.plan_voc(str(root))) == 0


@pytest.mark.parametrize("text", [b"\xff\xfe\n", "gr\u00fcn".encode("latin-1"), b"\x80"])
def test_list_that_is_no_text(root, text):
    path = voc_folder(root) / "ImageSets" / "Segmentation" / "val.txt"
    path.write_bytes(text)
    with pytest.raises(InputError, match="val.txt: is no text in UTF-8"):
        load_voc_sem_seg(str(root), "val")


@pytest.mark.parametrize("i", ["../2007_1", "/etc/2007_1", "a/b", "..", ".", "a\\b", "a\0b"])
def test_ids_lead_nowhere_else(root, i):
    (root / "benchmark_RELEASE" / "dataset" / "val.txt").write_text(f"2008_5\n{i}\n")
    with pytest.raises(InputError, match="val.txt: has id .*, but ids must be names of files"):
        list(voc_sem_seg.plan_sbd(str(root)))
