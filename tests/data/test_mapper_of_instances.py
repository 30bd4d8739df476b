"""Instances that a mapper makes, and what it says of annotations that it cannot use."""

import copy

import numpy as np
import pytest
import torch
from coco_files import make_coco
from detectron2.config import get_cfg
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.structures import BoxMode
from pycocotools import mask as mask_util

from aa_detectron import add_aa_config
from aa_detectron.data.mappers import CheckedDatasetMapper
from aa_detectron.errors import InputError


@pytest.fixture
def image(tmp_path):
    content = make_coco(tmp_path, images=1)
    kept = ("bbox", "category_id", "segmentation", "iscrowd")
    annotations = [
        {key: a[key] for key in kept} | {"bbox_mode": BoxMode.XYWH_ABS}
        for a in content["annotations"]
    ]
    return {"file_name": str(tmp_path / "1.png"), "image_id": 1, "annotations": annotations}


def config(**options):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.update(options)
    return cfg


@pytest.mark.parametrize("is_train", [True, False])
@pytest.mark.parametrize("mask_format", ["polygon", "bitmask"])
def test_equal_to_detectron2s(image, is_train, mask_format):
    cfg = config(MASK_FORMAT=mask_format)
    cfg.INPUT.CROP.ENABLED = True
    before = copy.deepcopy(image)
    found = []
    for mapper in (DatasetMapper, CheckedDatasetMapper):
        np.random.seed(3)
        found.append(mapper(cfg, is_train)(image))
    assert image == before
    first, second = found
    assert first.keys() == second.keys()
    assert torch.equal(first["image"], second["image"])
    if is_train:
        objects = first["instances"], second["instances"]
        assert torch.equal(*(o.gt_boxes.tensor for o in objects))
        assert torch.equal(*(o.gt_classes for o in objects))
        assert (
            torch.equal(*(torch.as_tensor(o.gt_masks.area()) for o in objects))
            if (mask_format == "polygon")
            else torch.equal(*(o.gt_masks.tensor for o in objects))
        )


@pytest.mark.parametrize("seed", range(8))
def test_masks_outside_of_a_crop_are_not_decoded(image, monkeypatch, seed):
    """Equal to Detectron2's instances, also if no object is inside and the first is a crowd."""
    image["annotations"] = [
        annotation | {"segmentation": encode(x, y), "bbox": [x, y, 3, 2]}
        for annotation in image["annotations"][:1]
        for x, y in [(0, 0), (10, 61), (30, 30), (31, 34), (61, 0), (61, 62), (33, 0)]
    ]
    image["annotations"][0]["iscrowd"] = 1
    cfg = config(MASK_FORMAT="bitmask", MIN_SIZE_TRAIN=(24, 48))
    cfg.INPUT.CROP.update({"ENABLED": True, "TYPE": "absolute", "SIZE": (16, 20)})
    decoded = []
    decode = mask_util.decode
    monkeypatch.setattr(mask_util, "decode", lambda mask: decoded.append(1) or decode(mask))
    found = []
    for mapper in (DatasetMapper, CheckedDatasetMapper):
        np.random.seed(seed)
        found.append(mapper(cfg, True)(image)["instances"])
    assert torch.equal(*(o.gt_boxes.tensor for o in found))
    assert torch.equal(*(o.gt_masks.tensor for o in found))
    assert len(decoded) <= 6 + max(1, len(found[1]) + 1)  # one may touch the margin


def encode(x, y):
    mask = np.zeros((64, 64), np.uint8, order="F")
    mask[y : y + 2, x : x + 3] = 1
    return mask_util.encode(mask)


BAD = {
    "no bbox": ({"bbox": None}, "bbox is None"),
    "bbox of 3": ({"bbox": [1, 2, 3]}, "bbox is .1, 2, 3."),
    "no mask": ({"segmentation": None}, "has no segmentation"),
    "mask of words": ({"segmentation": [["a"] * 6]}, "finite numbers"),
    "RLE": ({"segmentation": {"size": [64, 64], "counts": [4096]}}, "MASK_FORMAT is 'polygon'"),
    "category": ({"category_id": "a"}, "category_id is 'a'"),
}


@pytest.mark.parametrize("change, expected", BAD.values(), ids=list(BAD))
def test_bad_annotations(image, change, expected):
    image["annotations"][0] |= change
    image |= {"height": 64, "width": 64}
    with pytest.raises(InputError, match=expected) as error:
        CheckedDatasetMapper(config(), True)(image)
    assert image["file_name"] in str(error.value)


def test_errors_of_the_package_keep_their_traceback(image, monkeypatch):
    def broken(*args, **kwargs):
        raise KeyError("bug")

    monkeypatch.setattr(utils, "annotations_to_instances", broken)
    with pytest.raises(KeyError, match="bug"):
        CheckedDatasetMapper(config(), True)(image)
