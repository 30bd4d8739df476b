"""Objects of registered datasets, compared with those that the library reads from the file."""

import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.structures import BoxMode
from PIL import Image

from aa_detectron import add_aa_config
from aa_detectron.consistency.sources.images import open_images
from aa_detectron.data.datasets.dicts_check import dict_problem
from aa_detectron.evaluation.build import build_consistency_evaluators
from aa_detectron.evaluation.object_truth import ObjectTruth

NAME = "object_truth_test"


def annotation(number, crowd=0, **changes):
    box = [4.0 * number, 5, 8, 9]
    x, y, width, height = box
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    return {
        "id": number,
        "image_id": 7,
        "category_id": 10 * (number % 2 + 1),
        "bbox": box,
        "area": 72,
        "iscrowd": crowd,
        "segmentation": [corners],
    } | changes


@pytest.fixture
def register(tmp_path):
    def make(annotations):
        Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "a.png")
        images = [{"id": 7, "file_name": "a.png", "height": 48, "width": 64}]
        categories = [{"id": 10, "name": "a"}, {"id": 20, "name": "b"}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (tmp_path / "coco.json").write_text(json.dumps(content))
        register_coco_instances(NAME, {}, str(tmp_path / "coco.json"), str(tmp_path))
        return tmp_path / "coco.json"

    yield make
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def test_objects_of_a_coco_file(register):
    crowd = {"size": [48, 64], "counts": [0, 48, 48 * 63]}
    path = register([annotation(1), annotation(2), annotation(3, 1, segmentation=crowd)])
    found = ObjectTruth(NAME)(7)
    (item,) = open_images(path, truth=True, category_ids=[10, 20])
    assert found["boxes"].tolist() == item.truth["boxes"].tolist() and len(found["boxes"]) == 2
    assert found["classes"].tolist() == item.truth["classes"].tolist() == [1, 0]
    ours, theirs = (mask_util.decode(truth["masks"]) for truth in (found, item.truth))
    assert np.array_equal(ours, theirs) and ours.sum() == 2 * 72


def test_the_evaluator_of_a_config_gets_them(register):
    register([annotation(1)])
    cfg = get_cfg()
    add_aa_config(cfg)
    instances = build_consistency_evaluators(cfg, NAME)[0]
    assert len(instances.truth(7)["boxes"]) == 1


def test_no_objects(register, tmp_path):
    register([])
    assert ObjectTruth(NAME)(7) is None
    assert ObjectTruth(str(tmp_path))("a.png") is None


@pytest.fixture
def register_dicts():
    def make(*masks, size=(48, 64)):
        box = {"bbox": np.array([4.0, 5, 12, 14]), "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}
        image = {"file_name": "a.png", "image_id": 7, "height": size[0], "width": size[1]}
        image["annotations"] = [box | {"segmentation": mask} for mask in masks]
        assert dict_problem(image) is None
        DatasetCatalog.register(NAME, lambda: [image])
        return ObjectTruth(NAME)(7)

    yield make
    DatasetCatalog.remove(NAME)


def test_masks_in_every_form(register_dicts):
    mask = np.zeros((48, 64), bool)
    mask[5:14, 4:12] = True
    corners = [4.0, 5, 12, 5, 12, 14, 4, 14]
    forms = (
        *(mask, mask.astype(np.int64), [corners], (tuple(corners),), [np.array(corners)]),
        mask_util.encode(np.asfortranarray(mask, np.uint8)),
    )
    found = register_dicts(*forms)
    assert np.array_equal(mask_util.decode(found["masks"]), np.stack([mask] * 6, axis=2))


@pytest.mark.parametrize("missing", [None, [], {}])
def test_an_object_without_a_mask(register_dicts, missing):
    found = register_dicts(np.ones((48, 64), bool), missing)
    assert "masks" not in found and len(found["boxes"]) == 2
