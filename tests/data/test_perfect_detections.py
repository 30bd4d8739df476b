"""A model that gives back the annotations scores 100 on every well-formed variant of a dataset."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from coco_files import NAME, forget, make_coco, register
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.structures import BitMasks, BoxMode, Instances
from PIL import Image

from aa_detectron import add_aa_config
from aa_detectron.data.pairs import build_shifted_pair_loader
from aa_detectron.engine.trainer import Trainer
from aa_detectron.evaluation import InstanceConsistencyEvaluator


def renamed(section, name):
    """Gives the records of a section new ids, and their references as well."""

    def change(content):
        key = {"images": "image_id", "categories": "category_id"}.get(section)
        new = {record["id"]: name(record["id"]) for record in content[section]}
        for record in content[section]:
            record["id"] = new[record["id"]]
        for annotation in content["annotations"] if key else []:
            annotation[key] = new[annotation[key]]

    return change


def encoded(compressed):
    def change(content):
        for annotation in content["annotations"]:
            (rle,) = mask_util.frPyObjects(annotation["segmentation"], 64, 64)
            if compressed:
                counts = rle["counts"].decode()
            else:
                flat = mask_util.decode(rle).ravel("F")
                edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [2]])))
                counts = np.diff(np.concatenate([[0], edges])).tolist()
            annotation["segmentation"] = {"size": [64, 64], "counts": counts}

    return change


def each(**changed):
    return lambda content: [a.update(changed) for a in content["annotations"]]


def reversed_order(content):
    for section in ("images", "annotations", "categories"):
        content[section].reverse()


VARIANTS = {
    "as it is": lambda content: None,
    "reversed": reversed_order,
    "image ids as text": renamed("images", lambda i: f"image {i}"),
    "image ids with gaps": renamed("images", lambda i: i * 1000),
    "image ids from 0": renamed("images", lambda i: i - 1),
    "image ids as floats": renamed("images", lambda i: i + 0.5),
    "negative image ids": renamed("images", lambda i: -i),
    "category ids as text": renamed("categories", lambda i: f"class {i}"),
    "category ids with gaps": renamed("categories", lambda i: i * 90),
    "category ids from 0": renamed("categories", lambda i: i - 1),
    "category ids in another order": renamed("categories", lambda i: 3 - i),
    "annotation ids as text": renamed("annotations", lambda i: f"object {i}"),
    "annotation ids as numbers in text": renamed("annotations", str),
    "annotation ids with gaps": renamed("annotations", lambda i: i**9),
    "annotation ids from 0": renamed("annotations", lambda i: i - 1),
    "negative annotation ids": renamed("annotations", lambda i: -i),
    "annotation ids as floats": renamed("annotations", lambda i: i / 10),
    "compressed RLE": encoded(True),
    "uncompressed RLE": encoded(False),
    "more keys": each(attributes={"score": 1}, score=0.1),
    "iscrowd false": each(iscrowd=False),
}


def quarter_turn(image):
    return image.transpose(Image.Transpose.ROTATE_90)


def in_16_bits(image):
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def exif_of_a_quarter_turn():
    tags = Image.Exif()
    tags[0x0112] = 6
    return tags


IMAGES = {
    "gray": ("png", lambda image: image.convert("L"), {}),
    "16 bits": ("png", in_16_bits, {}),
    "palette": ("png", lambda image: image.quantize(8), {}),
    "CMYK": ("jpg", lambda image: image.convert("CMYK"), {}),
    "alpha": ("png", lambda image: image.convert("RGBA"), {}),
    "EXIF": ("png", quarter_turn, {"exif": exif_of_a_quarter_turn()}),
}  # fmt: skip


class Perfect:
    """Finds the objects of the dataset, also in crops, by the image's id."""

    def __init__(self, dicts):
        self.dicts = {image["image_id"]: image for image in dicts}

    def __call__(self, items):
        return [{"instances": self._instances(item)} for item in items]

    def _instances(self, item):
        image = self.dicts[item["image_id"]]
        size = image["height"], image["width"]
        masks = np.stack([decode(a["segmentation"], *size) for a in image["annotations"]])
        if "pair" in item:
            y, x = item["pair"]["offsets"][not item["pair"]["first"]]
            masks = masks[:, y : y + item["height"], x : x + item["width"]]
        result = Instances(masks.shape[1:])
        result.pred_masks = torch.from_numpy(masks.copy()).bool()
        result.pred_boxes = BitMasks(result.pred_masks).get_bounding_boxes()
        result.pred_classes = torch.tensor([int(a["category_id"]) for a in image["annotations"]])
        result.scores = torch.ones(len(masks))
        return result[result.pred_masks.flatten(1).any(dim=1)]


def decode(segmentation, height, width):
    rles = segmentation
    if isinstance(segmentation, list):
        rles = mask_util.merge(mask_util.frPyObjects(segmentation, height, width))
    return mask_util.decode(rles)


@pytest.fixture
def folder(tmp_path):
    yield tmp_path / "images"
    forget(NAME)


def assert_perfect(tmp_path):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.MODEL.DEVICE, cfg.MODEL.MASK_ON = "cpu", True
    cfg.INPUT.MIN_SIZE_TEST, cfg.DATALOADER.NUM_WORKERS = 0, 0
    cfg.OUTPUT_DIR = str(tmp_path / "out")
    loader = Trainer.build_test_loader(cfg, NAME)
    model = Perfect(DatasetCatalog.get(NAME))
    results = inference_on_dataset(model, loader, Trainer.build_evaluator(cfg, NAME))
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert results["segm"]["AP"] == pytest.approx(100)
    evaluator = InstanceConsistencyEvaluator(NAME, MetadataCatalog.get(NAME).thing_classes)
    pairs = inference_on_dataset(model, build_shifted_pair_loader(cfg, NAME), evaluator)
    for task in ("consistency_bbox", "consistency_segm"):
        assert (pairs[task]["mAISC"], pairs[task]["pairs"]) == (100, 3)


@pytest.mark.parametrize("change", VARIANTS.values(), ids=list(VARIANTS))
def test_variants_of_the_file(folder, tmp_path, change):
    content = make_coco(folder)
    change(content)
    register(folder, content)
    assert_perfect(tmp_path)


@pytest.mark.parametrize("suffix, change, options", IMAGES.values(), ids=list(IMAGES))
def test_variants_of_the_images(folder, tmp_path, suffix, change, options):
    content = make_coco(folder)
    for image in content["images"]:
        made = change(Image.open(folder / image["file_name"]))
        image["file_name"] = f"made_{image['id']}.{suffix}"
        made.save(folder / image["file_name"], **options)
    register(folder, content)
    assert_perfect(tmp_path)


def to_dicts(content, folder, image_id=int):
    """The dataset as a loader of a user's own would give it."""
    return [
        {
            "file_name": str(folder / image["file_name"]),
            "image_id": image_id(image["id"]),
            "height": image["height"],
            "width": image["width"],
            "annotations": [
                {
                    "bbox": np.array(a["bbox"], float),
                    "bbox_mode": BoxMode.XYWH_ABS,
                    "category_id": np.int64(a["category_id"] - 1),
                    "segmentation": a["segmentation"],
                    "iscrowd": 0,
                }
                for a in content["annotations"]
                if a["image_id"] == image["id"]
            ],
        }
        for image in content["images"]
    ]


@pytest.mark.parametrize(
    "image_id", [int, np.int64, np.uint8, lambda i: i - 1, lambda i: f"image {i}"]
)
def test_dicts_of_a_loader(folder, tmp_path, image_id):
    content = make_coco(folder)
    for annotation in content["annotations"]:
        annotation["bbox"] = [float(v) for v in annotation["bbox"]]
    DatasetCatalog.register(NAME, lambda: to_dicts(content, folder, image_id))
    MetadataCatalog.get(NAME).set(evaluator_type="coco", thing_classes=["a", "b"])
    assert_perfect(tmp_path)


def test_dicts_that_have_changed(folder, tmp_path):
    """Detectron2 would take the file that the first test has left in the output folder."""
    content = make_coco(folder)
    MetadataCatalog.get(NAME).set(evaluator_type="coco", thing_classes=["a", "b"])
    DatasetCatalog.register(NAME, lambda: to_dicts(content, folder))
    assert_perfect(tmp_path)
    for annotation in content["annotations"]:
        annotation["category_id"] = 3 - annotation["category_id"]
    assert_perfect(tmp_path)
