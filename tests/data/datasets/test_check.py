"""Datasets that come from users' own loaders, and label maps."""

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from PIL import Image

from aa_detectron.data.datasets.check import check_dataset
from aa_detectron.data.pairs import get_image_dicts
from aa_detectron.errors import InputError

NAME = "users_loader"


@pytest.fixture
def register():
    def register(dicts, **metadata):
        DatasetCatalog.register(NAME, lambda: dicts)
        MetadataCatalog.get(NAME).set(**metadata)

    yield register
    for catalog in (DatasetCatalog, MetadataCatalog):
        if NAME in catalog.list():
            catalog.remove(NAME)


def make_dicts():
    polygon = [1.0, 1.0, 9.0, 1.0, 9.0, 9.0]
    common = {"bbox_mode": BoxMode.XYXY_ABS, "segmentation": [polygon]}
    return [
        {
            "file_name": f"{number}.png",
            "image_id": number,
            "height": 20,
            "width": 30,
            "annotations": [{"bbox": [1, 1, 9, 9], "category_id": number} | common],
        }
        for number in range(2)
    ]


def image(**changed):
    return lambda dicts: dicts[1].update(changed)


def instance(**changed):
    return lambda dicts: dicts[1]["annotations"][0].update(changed)


def without(key):
    return lambda dicts: dicts[1]["annotations"][0].pop(key)


BAD = {
    "no dict": (lambda dicts: dicts.append(3), "image 2 .* expected a dict with file_name"),
    "no file name": (image(file_name=None), "expected a dict with file_name"),
    "height null": (image(height=None), r"image 1 \(1.png\): height is None"),
    "width text": (image(width="30"), "width is '30'"),
    "annotations null": (image(annotations=None), "annotations are None"),
    "annotation no dict": (image(annotations=[3]), r"annotations\[0\]: found 3"),
    "no bbox": (without("bbox"), "expected a dict with bbox"),
    "no mode": (without("bbox_mode"), "expected a dict with bbox"),
    "mode unknown": (instance(bbox_mode=17), "bbox_mode is 17"),
    "bbox NaN": (instance(bbox=[1, 1, float("nan"), 9]), "bbox is"),
    "bbox upside down": (instance(bbox=[9, 9, 1, 1]), "bbox is"),
    "bbox of 3": (instance(bbox=[9, 9, 1]), "bbox is"),
    "bbox a number": (instance(bbox=5), "bbox is 5"),
    "bbox outside": (instance(bbox=[50, 1, 60, 9]), "outside the image of 20x30"),
    "category text": (instance(category_id="a"), "category_id is 'a'"),
    "category from 1": (instance(category_id=2), "category_id is 2, .*from 0 to 1"),
    "category negative": (instance(category_id=-1), "category_id is -1"),
    "mask of 2 points": (instance(segmentation=[[1, 1, 9, 9]]), "4 numbers"),
    "mask NaN": (instance(segmentation=[[np.nan] * 6]), "finite"),
    "mask of another size": (instance(segmentation=np.zeros((9, 9), bool)), "9x9 pixels"),
    "RLE short": (instance(segmentation={"size": [20, 30], "counts": [5]}), "runs of 5"),
    "keypoints of 2": (instance(keypoints=[1, 2]), "keypoints"),
}
TESTING = {
    "one id for all": (image(image_id=0), "image_id 0 belongs to 0.png and 1.png"),
    "no id": (image(image_id=None), "image_id is None"),
    "id a list": (image(image_id=[1]), "image_id is .1."),
    "mask an array": (instance(segmentation=np.zeros((20, 30), bool)), "an array"),
    "no height": (lambda dicts: dicts[1].pop("height"), "has no height"),
}


def check(for_training, needs_masks=True):
    check_dataset(NAME, for_training=for_training, needs_masks=needs_masks)


@pytest.mark.parametrize("for_training", [True, False])
@pytest.mark.parametrize("change, expected", BAD.values(), ids=list(BAD))
def test_bad_dicts(register, change, expected, for_training):
    dicts = make_dicts()
    change(dicts)
    register(dicts, evaluator_type="coco", thing_classes=["a", "b"])
    with pytest.raises(InputError, match=f"dataset {NAME}, .*{expected}") as error:
        check(for_training)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change, expected", TESTING.values(), ids=list(TESTING))
def test_bad_for_testing(register, change, expected):
    dicts = make_dicts()
    change(dicts)
    register(dicts, evaluator_type="coco", thing_classes=["a", "b"])
    with pytest.raises(InputError, match=expected):
        check(for_training=False)


def test_masks_that_are_missing(register):
    dicts = make_dicts()
    del dicts[1]["annotations"][0]["segmentation"]
    register(dicts, evaluator_type="coco", thing_classes=["a", "b"])
    check(for_training=True, needs_masks=False)
    with pytest.raises(InputError, match="has no segmentation"):
        check(for_training=True)


@pytest.mark.parametrize("for_training", [True, False])
def test_good_dicts(register, for_training):
    dicts = make_dicts()
    dicts[0]["annotations"][0] |= {"bbox": np.array([1.0, 1, 9, 9]), "category_id": np.int64(0)}
    dicts[0]["annotations"][0]["segmentation"] = [np.array([1.0, 1, 9, 1, 9, 9])]
    dicts[0] |= {"image_id": np.int64(7), "height": np.int32(20)}
    dicts[1]["annotations"] = []
    register(dicts, evaluator_type="coco", thing_classes=["a", "b"])
    check(for_training)


def test_pairs_of_images_with_one_id(register):
    register([{"file_name": f"{i}.png", "image_id": 0} for i in range(2)])
    with pytest.raises(InputError, match="image_id 0 belongs to 0.png and 1.png"):
        get_image_dicts(NAME)


def test_ids_of_numpy_become_pythons(register):
    register([{"file_name": "a.png", "image_id": np.int64(3)}])
    (found,) = get_image_dicts(NAME)
    assert type(found["image_id"]) is int


def test_empty(register):
    register([], evaluator_type="coco", thing_classes=["a"])
    with pytest.raises(InputError, match=f"holds no image of {NAME}"):
        get_image_dicts(NAME)


@pytest.mark.parametrize("key", ["ignore_label", "stuff_classes"])
def test_metadata_that_is_missing(register, key):
    metadata = {"ignore_label": 255, "stuff_classes": ["a"]}
    del metadata[key]
    register([], evaluator_type="sem_seg", **metadata)
    with pytest.raises(InputError, match=f"its metadata has no {key}; add Metadata.*{key} = "):
        check(for_training=False)


def label_maps(folder, *maps):
    for number, labels in enumerate(maps):
        Image.fromarray(np.array(labels, np.uint8)).save(folder / f"{number}.png")
    return [
        {"file_name": f"{n}.jpg", "sem_seg_file_name": str(folder / f"{n}.png")}
        for n in range(len(maps))
    ]


@pytest.mark.parametrize("for_training", [True, False])
@pytest.mark.parametrize("count", [2, 50])
def test_masks_of_0_and_255(tmp_path, register, caplog, for_training, count):
    dicts = label_maps(tmp_path, *[[[0, 255]]] * count)
    classes = ["ground", "lesion"]
    register(dicts, evaluator_type="sem_seg", ignore_label=255, stuff_classes=classes)
    check(for_training)
    assert "none has lesion" in caplog.text and "255, the ignore label" in caplog.text


def test_label_maps_of_all_classes(tmp_path, register, caplog):
    dicts = label_maps(tmp_path, [[0, 255]], [[1, 0]])
    register(dicts, evaluator_type="sem_seg", ignore_label=255, stuff_classes=["ground", "lesion"])
    check(for_training=True)
    assert not caplog.records


@pytest.mark.parametrize("labels, expected", [([[0, 100]], "label 100"), ([[1, 2]], "label 2")])
def test_illegal_labels(tmp_path, register, labels, expected):
    dicts = label_maps(tmp_path, [[0, 1]], labels)
    register(dicts, evaluator_type="sem_seg", ignore_label=255, stuff_classes=["ground", "lesion"])
    with pytest.raises(InputError, match=f"1.png: has {expected}"):
        check(for_training=False)
