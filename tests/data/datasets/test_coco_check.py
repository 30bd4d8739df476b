"""Malformed COCO files, each through the command that a user would run."""

import copy
import json
import os
import re

import numpy as np
import pycocotools.mask as mask_util
import pytest
from coco_files import NAME, forget, make_coco, register, train_net

from aa_detectron.data.datasets import coco_cache, coco_check
from aa_detectron.data.datasets.check import check_dataset, check_images
from aa_detectron.data.datasets.coco_check import check_coco, find_facts
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.utils.coco_rle import decode_runs, rle_problem

NAN, INF = float("nan"), float("inf")
FIRST = r"annotations\[0\] \(id 1\): "


def first(**changed):
    return lambda d: d["annotations"][0].update(changed)


def second(**changed):
    return lambda d: d["annotations"][1].update(changed)


def without(key, section="annotations", number=1):
    return lambda d: d[section][number].pop(key)


def image(**changed):
    return lambda d: d["images"][1].update(changed)


def category(**changed):
    return lambda d: d["categories"][1].update(changed)


def mask(segmentation):
    return first(segmentation=segmentation)


def rle(counts, size=(64, 64)):
    return mask({"size": list(size), "counts": counts})


EVERYWHERE = {
    "bbox NaN": (first(bbox=[NAN] * 4), FIRST + "bbox is .nan, .*four finite numbers"),
    "bbox infinite": (first(bbox=[1, 1, INF, 4]), "bbox is .*inf"),
    "bbox of 3": (first(bbox=[1, 2, 3]), "bbox"),
    "bbox of 5": (first(bbox=[1, 2, 3, 4, 5]), "bbox"),
    "bbox empty": (first(bbox=[]), "bbox"),
    "bbox null": (first(bbox=None), "bbox is None"),
    "bbox of words": (first(bbox=["1", "2", "3", "4"]), "bbox"),
    "bbox of truths": (first(bbox=[True, 1, 3, 4]), "bbox"),
    "bbox an object": (first(bbox={"x": 1}), "bbox"),
    "bbox negative": (first(bbox=[30, 30, -10, -10]), "width and height at least 0"),
    "bbox huge integer": (first(bbox=[10**400, 1, 1, 1]), "bbox"),
    "bbox outside": (first(bbox=[1000, 1000, 10, 10]), "outside the image of 64x64"),
    "bbox left of it": (first(bbox=[-20, 5, 10, 10]), "outside the image"),
    "bbox at the border": (first(bbox=[64, 5, 10, 10]), "outside the image"),
    "bbox far beyond": (first(bbox=[1, 1, 1e6, 10]), "far beyond"),
    "no bbox": (without("bbox"), r"annotations\[1\] without bbox"),
    "unknown image": (first(image_id=999), "image_id is 999, .*id in images"),
    "image id null": (first(image_id=None), "image_id is None"),
    "image id a list": (first(image_id=[1]), "image_id is .1."),
    "image id as text": (first(image_id="1"), "image_id is '1'"),
    "unknown category": (first(category_id=7), "category_id is 7, .*id in categories"),
    "category null": (first(category_id=None), "category_id is None"),
    "category as text": (first(category_id="1"), "category_id is '1'"),
    "id null": (first(id=None), "id is None"),
    "ids twice": (second(id=1), r"annotations\[1\]: id is 1, .*unique"),
    "iscrowd null": (first(iscrowd=None), "iscrowd is None"),
    "iscrowd 2": (first(iscrowd=2), "iscrowd is 2"),
    "ignore 1": (first(ignore=1), "ignore is 1"),
    "area NaN": (first(area=NAN), "area is nan"),
    "area negative": (first(area=-3), "area is -3"),
    "area a word": (first(area="big"), "area is 'big'"),
    "area null": (first(area=None), "area is None"),
    "polygon NaN": (mask([[NAN, 1, 2, 2, 3, 3]]), "segmentation polygon 0 is .nan"),
    "polygon infinite": (mask([[INF, 1, 2, 2, 3, 3]]), "finite numbers"),
    "polygon -infinite": (mask([[1, 1, 2, 2, 3, -INF]]), "finite numbers"),
    "polygon of words": (mask([list("abcdef")]), "finite numbers"),
    "polygon of null": (mask([[None] * 6]), "finite numbers"),
    "polygon flat": (mask([1, 1, 20, 1, 20, 20]), "polygon 0 is 1"),
    "polygon of pairs": (mask([[[1, 1], [2, 2], [3, 3]]]), "polygon 0 is"),
    "polygon of 2 points": (mask([[3, 3, 9, 9], [1, 1, 20, 1, 20, 20]]), "0 has 4 numbers"),
    "polygon odd": (mask([[1, 1, 20, 1, 20, 20, 5]]), "7 numbers, .*even number"),
    "polygon empty": (mask([[]]), "0 numbers"),
    "polygon outside": (mask([[100, 1, 120, 1, 120, 9]]), "lies outside"),
    "polygon far": (mask([[1, 1, 1e9, 1, 20, 20]]), "far beyond"),
    "mask a number": (mask(5), "segmentation is 5"),
    "mask false": (mask(False), "segmentation is False"),
    "mask a text": (mask("PP1"), "segmentation is 'PP1'"),
    "mask empty object": (mask({}), "segmentation is {}"),
    "RLE huge": (rle("PP1", (10**9, 10**9)), "has size .1000000000"),
    "RLE of another size": (rle([50, 50], (10, 10)), r"must have \[64, 64\]"),
    "RLE of float size": (rle([4096], (64.0, 64.0)), "has size"),
    "RLE without size": (mask({"counts": [4096]}), "has size None"),
    "RLE size null": (mask({"size": None, "counts": [4096]}), "has size None"),
    "RLE without counts": (mask({"size": [64, 64]}), "has counts None"),
    "RLE no runs": (rle([]), "has counts"),
    "RLE empty text": (rle(""), "has counts ''"),
    "RLE runs beyond": (rle("~~~~~~~~~~~~~~~"), "has"),
    "RLE runs short": (rle([5, 5]), "runs of 10 pixels in all, .*4096"),
    "RLE runs too long": (rle([5000]), "runs of 5000 pixels"),
    "RLE negative": (rle([-5, 4101]), "a run of -5 pixels"),
    "RLE of floats": (rle([96.0, 4000.0]), "has counts"),
    "RLE of words": (rle(["a"]), "has counts"),
    "RLE of truths": (rle([True, 4095]), "has counts"),
    "RLE unending": (rle("oooooooooooooooooooo"), "has counts"),
    "RLE not in the alphabet": (rle("\u00fc!"), "has counts"),
    "RLE run of 10**30": (rle([10**30]), "pixels in all"),
    "keypoints of 2": (first(keypoints=[1, 2]), "keypoints are .1, 2."),
    "keypoints NaN": (first(keypoints=[NAN, 1, 2]), "keypoints"),
    "image ids twice": (image(id=1), r"images\[1\]: id is 1, .*unique"),
    "image ids 1 and 1.0": (image(id=1.0), "unique"),
    "image ids mixed": (image(id="a"), r"images\[1\]: id is 'a', .*a number"),
    "image id of image null": (image(id=None), "id is None"),
    "image id of image NaN": (image(id=NAN), "id is nan"),
    "height null": (image(height=None), r"images\[1\] \(id 2\): height is None"),
    "height text": (image(height="64"), "height is '64'"),
    "height float": (image(height=64.0), "height is 64.0"),
    "height zero": (image(height=0), "height is 0"),
    "width negative": (image(width=-64), "width is -64"),
    "width huge": (image(width=10**12), "width is 10"),
    "file name a number": (image(file_name=5), "file_name is 5"),
    "file name empty": (image(file_name=""), "file_name is ''"),
    "file name with NUL": (image(file_name="a\0.png"), "file_name is 'a.x00.png'"),
    "category ids twice": (category(id=1), r"categories\[1\]: id is 1, .*unique"),
    "category ids mixed": (category(id="b"), r"categories\[1\]: id is 'b'"),
    "category name null": (category(name=None), "name is None"),
    "no categories": (lambda d: d.update(categories=[]), "no category"),
    "no images": (lambda d: d.update(images=[], annotations=[]), "no image"),
    "categories null": (lambda d: d.update(categories=None), "a list of categories"),
    "an image a number": (lambda d: d["images"].append(3), r"images\[3\] without id"),
    "image without width": (without("width", "images"), r"images\[1\] without width"),
    "image missing": (image(file_name="9.png"), "9.png: no such image, 1 of 3"),
    "image in a missing folder": (image(file_name="x/9.png"), "9.png: no such image"),
}  # fmt: skip
TRAINING = {
    "no annotation": (lambda d: d.update(annotations=[]), "no object to train on"),
    "annotations missing": (lambda d: d.pop("annotations"), "a list of annotations"),
    "only crowds": (lambda d: [a.update(iscrowd=1) for a in d["annotations"]], "no object"),
    "no mask": (without("segmentation"), r"annotations\[1\] \(id 2\): has no segmentation"),
    "mask null": (mask(None), "has no segmentation"),
    "mask empty": (mask([]), "has no segmentation"),
}
TESTING = {
    "no area": (without("area"), r"annotations\[1\] \(id 2\): has no area"),
    "no iscrowd": (without("iscrowd"), "has no iscrowd"),
    "no mask": (without("segmentation"), "has no segmentation"),
    "crowd without mask": (first(iscrowd=1, segmentation=None), "has no segmentation"),
}


@pytest.fixture
def folder(tmp_path):
    yield tmp_path / "images"
    forget(NAME)


def rejected(folder, tmp_path, change, option="TRAIN", *options):
    """The one line in which the command rejects the changed file."""
    content = make_coco(folder)
    change(content)
    register(folder, content)
    sets = {"TRAIN": "()", "TEST": "()"} | {option: f"('{NAME}',)"}
    names = [part for key, value in sets.items() for part in (f"DATASETS.{key}", value)]
    with pytest.raises(SystemExit) as end:
        train_net(tmp_path / "out", *names, *options, eval_only=option == "TEST")
    message = str(end.value.code)
    assert message.startswith("error: ") and "\n" not in message
    return message


@pytest.mark.parametrize("change, expected", EVERYWHERE.values(), ids=list(EVERYWHERE))
def test_rejected_before_the_training(folder, tmp_path, change, expected):
    message = rejected(folder, tmp_path, change)
    assert re.search(expected, message), message
    assert str(folder) in message


@pytest.mark.parametrize("change, expected", EVERYWHERE.values(), ids=list(EVERYWHERE))
def test_rejected_as_data_of_a_test(folder, change, expected):
    content = make_coco(folder)
    change(content)
    register(folder, content)
    with pytest.raises(InputError, match=expected):
        check_dataset(NAME, for_training=False, needs_masks=False)
        check_images(NAME)


@pytest.mark.parametrize("change, expected", TRAINING.values(), ids=list(TRAINING))
def test_rejected_for_training(folder, tmp_path, change, expected):
    assert re.search(expected, rejected(folder, tmp_path, change))


@pytest.mark.parametrize("change, expected", TESTING.values(), ids=list(TESTING))
def test_rejected_for_testing(folder, tmp_path, change, expected):
    assert re.search(expected, rejected(folder, tmp_path, change, "TEST"))


NOT_JSON = {
    "empty": "",
    "half": '{"images": [',
    "a list": "[1]",
    "an empty object": "{}",
    "a number": "3",
    "nested": "[" * 100_000,
    "a long number": '{"images": ' + "9" * 5000 + "}",
    "BOM": "\ufeff{}",
}


@pytest.mark.parametrize("text", NOT_JSON.values(), ids=list(NOT_JSON))
def test_no_coco_at_all(folder, tmp_path, text):
    make_coco(folder)
    path = register(folder, text)
    with pytest.raises(SystemExit) as end:
        train_net(tmp_path / "out", "DATASETS.TRAIN", f"('{NAME}',)", "DATASETS.TEST", "()")
    assert re.fullmatch(f"error: {re.escape(str(path))}: found .*expected.*", str(end.value.code))


@pytest.mark.parametrize("kind", ["folder", "loop", "binary", "missing"])
def test_no_file(folder, kind):
    make_coco(folder)
    path = register(folder, "{}")
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\0")
    with pytest.raises(InputError, match=re.escape(str(path))):
        check_dataset(NAME, for_training=True, needs_masks=False)


def test_data_of_the_test_are_checked_before_the_training(folder, tmp_path):
    content = make_coco(folder)
    register(folder, content)
    register(folder, "{}", "users_val")
    with pytest.raises(SystemExit, match="users_val.json"):
        sets = "DATASETS.TRAIN", f"('{NAME}',)", "DATASETS.TEST", "('users_val',)"
        train_net(tmp_path / "out", *sets)
    assert not list((tmp_path / "out").glob("*.pth"))
    forget("users_val")


def test_other_classes_than_registered(folder):
    register(folder, make_coco(folder), thing_classes=["a", "zebra"])
    with pytest.raises(InputError, match="has 'b' for class 1, but must have the 'zebra'"):
        check_dataset(NAME, for_training=True, needs_masks=True)


def test_two_sets_of_other_classes(folder, tmp_path):
    register(folder, make_coco(folder))
    register(folder, make_coco(folder, classes=("b", "a")), "users_more")
    sets = "DATASETS.TRAIN", f"('{NAME}', 'users_more')", "DATASETS.TEST", "()"
    with pytest.raises(SystemExit, match="users_more has 'b' for class 0, but must have the 'a'"):
        train_net(tmp_path / "out", *sets)
    forget("users_more")


def test_masks_in_rle_ask_for_another_format(folder):
    content = make_coco(folder)
    content["annotations"][1]["segmentation"] = {"size": [64, 64], "counts": [2048, 2048]}
    register(folder, content)
    check_dataset(NAME, for_training=True, needs_masks=True, mask_format="bitmask")
    check_dataset(NAME, for_training=True, needs_masks=False, mask_format="polygon")
    with pytest.raises(InvalidOption, match="MASK_FORMAT is 'polygon', .* 'bitmask' for .*id 2"):
        check_dataset(NAME, for_training=True, needs_masks=True, mask_format="polygon")
    content["annotations"][1]["iscrowd"] = 1  # which is not trained on
    register(folder, content)
    check_dataset(NAME, for_training=True, needs_masks=True, mask_format="polygon")


WELL_FORMED = {
    "as it is": lambda d: None,
    "box without area": first(bbox=[5, 5, 10, 0]),  # COCO has some
    "box over the border": first(bbox=[-0.5, 60, 20, 4.7]),
    "polygon over the border": mask([[-0.5, 1, 20, 1, 20, 64.4]]),
    "two polygons": mask([[1, 1, 9, 1, 9, 9], [20, 20, 30, 20, 30, 30]]),
    "runs with zeros": rle([0, 4096]),
    "iscrowd true": first(iscrowd=False),
    "more keys": first(attributes={"occluded": True}, score=None),
    "same class names": category(name="a"),
    "an image without objects": lambda d: d["annotations"].__delitem__(slice(2)),
    "keypoints": first(keypoints=[1, 2, 2] * 3, num_keypoints=3),
}


@pytest.mark.parametrize("change", WELL_FORMED.values(), ids=list(WELL_FORMED))
@pytest.mark.parametrize("for_training", [True, False])
def test_well_formed(folder, change, for_training):
    content = make_coco(folder)
    change(content)
    register(folder, content)
    check_dataset(NAME, for_training=for_training, needs_masks=True)


def test_images_alone_can_be_tested(folder):
    content = make_coco(folder)
    del content["annotations"]
    register(folder, content)
    check_dataset(NAME, for_training=False, needs_masks=True)


def test_repeated_annotations_of_minival():
    content = {
        "images": [{"id": 1, "file_name": "1.png", "height": 9, "width": 9}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}] * 2,
    }
    assert find_facts(content).problem
    assert find_facts(content, has_unique_annotations=False).problem is None


@pytest.mark.parametrize("seed", range(20))
def test_runs_are_decoded_as_by_pycocotools(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 200, 2)
    masks = (rng.random((height, width)) < rng.choice([0, 0.01, 0.5, 1])).astype(np.uint8)
    rle = mask_util.encode(np.asfortranarray(masks))
    flat = np.concatenate([[0], masks.ravel("F"), [2]])
    edges = np.flatnonzero(np.diff(flat))
    expected = np.diff(np.concatenate([[0], edges]))
    assert decode_runs(rle["counts"]).tolist() == expected.tolist()
    for counts in (rle["counts"], rle["counts"].decode()):
        assert rle_problem(rle | {"counts": counts}, height, width) is None
        assert rle_problem(rle | {"counts": counts}, height, width + 1)


@pytest.mark.parametrize("seed", range(20))
def test_runs_that_pass_are_decoded_by_pycocotools(seed):
    """Runs of any length, zero as well, of which random masks have few."""
    rng = np.random.default_rng(seed)
    runs = rng.integers(0, [1, 3, 40, 2000, 100000][seed % 5], rng.integers(1, 30)).tolist() + [1]
    rle = mask_util.frPyObjects({"size": [sum(runs), 1], "counts": runs}, sum(runs), 1)
    assert decode_runs(rle["counts"]).tolist() == runs
    assert rle_problem(rle, sum(runs), 1) is None
    assert mask_util.decode(rle).sum() == sum(runs[1::2]) == mask_util.area(rle)


def test_random_strings_that_pass_are_decoded_by_pycocotools():
    rng, passed = np.random.default_rng(0), 0
    for _ in range(2000):
        text = bytes(rng.integers(48, 112, rng.integers(1, 6)).astype(np.uint8))
        runs = decode_runs(text)
        if runs is not None and min(runs) >= 0 and 0 < sum(runs) < 10**6:
            rle = {"size": [int(sum(runs)), 1], "counts": text}
            assert rle_problem(rle, int(sum(runs)), 1) is None
            assert mask_util.decode(rle).sum() == sum(runs[1::2]) == mask_util.area(rle)
            passed += 1
    assert passed > 100


@pytest.fixture
def large(folder, monkeypatch):
    """A file that is old and large enough to be remembered, and the number of times it is read."""
    monkeypatch.setattr(coco_cache, "MIN_BYTES", 0)
    path = register(folder, make_coco(folder))
    os.utime(path, ns=(10**18, 10**18))
    reads = []
    monkeypatch.setattr(coco_check, "find_facts", lambda *a, **k: reads.append(1) or find(*a, **k))
    find = find_facts
    return str(path), reads


def test_read_once(large):
    path, reads = large
    first_time = check_coco(path)
    assert check_coco(path) == first_time and len(reads) == 1


@pytest.mark.parametrize("change", ["size", "time", "inode"])
def test_read_again_after_a_change(large, change):
    path, reads = large
    check_coco(path)
    with open(path) as file:
        content = json.load(file)
    text = json.dumps(content | {"info": "x"} if change == "size" else content)
    target = f"{path}.new" if change == "inode" else path
    with open(target, "w") as file:
        file.write(text)
    os.replace(target, path)
    time_stamp = 10**18 + (change == "time")
    os.utime(path, ns=(time_stamp, time_stamp))
    check_coco(path)
    assert len(reads) == 2


def test_a_file_that_has_just_changed_is_not_remembered(large):
    path, reads = large
    os.utime(path)
    check_coco(path), check_coco(path)
    assert len(reads) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"file": 3}', "[" * 100_000, "\0"])
def test_broken_cache_is_passed_over(large, text):
    path, reads = large
    expected = check_coco(path)
    (entry,) = coco_cache.cache_folder().iterdir()
    found = json.loads(entry.read_text())
    texts = [
        text,
        json.dumps(found | {"found": {"problem": 1}}),
        json.dumps(found | {"version": 0}),
    ]
    for number, broken in enumerate(texts, 2):
        entry.write_text(broken)
        assert check_coco(path) == expected
        assert len(reads) == number


def test_cache_that_cannot_be_written(large, monkeypatch, tmp_path):
    path, reads = large
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    check_coco(path), check_coco(path)
    assert len(reads) == 2


def test_problems_are_remembered_with_their_file(large):
    path, reads = large
    content = json.loads(open(path).read())
    content["annotations"][0]["bbox"] = None
    with open(path, "w") as file:
        json.dump(content, file)
    os.utime(path, ns=(10**18, 10**18))
    for _ in range(2):
        with pytest.raises(InputError, match=f"{re.escape(path)}: annotations.0. .*bbox is None"):
            check_coco(path)
    assert len(reads) == 1


def test_annotations_are_not_changed(folder):
    content = make_coco(folder)
    before = copy.deepcopy(content)
    find_facts(content)
    assert content == before
