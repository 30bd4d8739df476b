import dataclasses
import hashlib
import importlib.util
import json
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from scipy.ndimage import binary_fill_holes

import aa_detectron  # noqa: F401  fixes detectron2's loader
from aa_detectron.data.datasets.shapes import (
    CLASSES,
    Options,
    annotate,
    cli,
    draw_image,
    generate,
    make_shapes,
    scene,
    textures,
)

TINY = Options(train=4, val=2, height=48, width=64, seed=3)
# Change only together with generate.VERSION. On another machine they must be the same.
GOLDEN = "01fc51a3d8e23147647d3fb375874cff4ef49575cb734e1eb3ffa8f601a002cb"
GOLDEN_SINGLES = "2b48f6fddd0847dda350086946abdf868065b1a01db8c553778bf6077dc8d7cf"


def content(folder):
    """Every file of a dataset: images as pixels, everything else as bytes."""
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file())
    return {
        str(p.relative_to(folder)): np.asarray(Image.open(p)).tobytes()
        if p.suffix == ".png"
        else p.read_bytes()
        for p in files
    }


def decoded(annotation, height, width):
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    return coco_mask.decode(segmentation).astype(bool)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny")
    assert make_shapes(str(root), TINY)
    return root / "shapes"


@pytest.fixture(scope="module")
def annotated():
    """(objects, annotations) of 40 images of the default options."""
    drawn = [draw_image(Options(), "train", i)[1] for i in range(40)]
    return [(objects, [annotate(o) for o in objects]) for objects in drawn]


def test_worker_count_changes_nothing(tiny, tmp_path):
    make_shapes(str(tmp_path), TINY, workers=2)
    assert content(tmp_path / "shapes") == content(tiny)


def test_golden_hash(tiny):
    digest = hashlib.sha256()
    for name, data in content(tiny).items():
        digest.update(name.encode() + data)
    assert digest.hexdigest() == GOLDEN


def test_golden_hash_of_single_objects(tmp_path):
    options = dataclasses.replace(TINY, train=7, val=6, task="classification")
    make_shapes(str(tmp_path), options)
    digest = hashlib.sha256()
    for name, data in content(tmp_path / "shapes_classification").items():
        digest.update(name.encode() + data)
    assert digest.hexdigest() == GOLDEN_SINGLES


def test_single_objects_lie_in_the_folders_of_their_classes(tmp_path):
    """Seven images, six classes in turn; each is near the center and differs from the ground."""
    options = Options(train=7, val=6, height=64, width=64, task="classification")
    make_shapes(str(tmp_path), options, workers=2)
    folder = tmp_path / "shapes_classification"
    assert {p.name for p in (folder / "val").iterdir()} == set(CLASSES)
    assert len(list((folder / "train" / CLASSES[0]).iterdir())) == 2
    for category in CLASSES[1:]:
        assert len(list((folder / "train" / category).iterdir())) == 1
    for index in range(40):
        rng = np.random.RandomState([0, 1, index])
        with mock.patch.object(scene, "_paint") as paint:
            scene.render_single(rng, CLASSES[index % 6], 64, 64, "val", "mixed", "mixed")
        drawn = paint.call_args.args[2]
        assert drawn.category == CLASSES[index % 6]
        rows, columns = np.nonzero(drawn.visible)
        for places in (rows, columns):
            assert places.min() > 0 and places.max() < 63
            assert abs((places.min() + places.max()) / 2 - 31.5) <= 6.4 + 1
        assert 0.3 * 64 < max(np.ptp(rows), np.ptp(columns)) + 1 < 0.62 * 64


def test_more_images_keep_the_first_ones(tiny, tmp_path):
    make_shapes(str(tmp_path), Options(train=6, val=2, height=48, width=64, seed=3))
    few, many = content(tiny), content(tmp_path / "shapes")
    assert all(many[name] == data for name, data in few.items() if name.endswith(".png"))
    name = "annotations/instances_train.json"
    few, many = json.loads(few[name])["annotations"], json.loads(many[name])["annotations"]
    assert many[: len(few)] == few and len(many) > len(few)


@pytest.mark.parametrize("seed, split, index", [(1, "train", 0), (0, "val", 0), (0, "train", 1)])
def test_each_image_is_its_own(seed, split, index):
    # Procedural, since the photographs differ between the splits anyway.
    size = {"height": 48, "width": 64, "ground": "procedural", "texture": "procedural"}
    one, _ = draw_image(Options(seed=0, **size), "train", 0)
    other, _ = draw_image(Options(seed=seed, **size), split, index)
    assert (one != other).mean() > 0.5


@pytest.mark.parametrize("size", [(32, 32), (96, 160), (256, 256)])
@pytest.mark.parametrize("source", ["procedural", "photo"])
def test_sizes_and_sources(size, source):
    options = Options(height=size[0], width=size[1], ground=source, texture=source)
    image, objects = draw_image(options, "val", 0)
    assert image.shape == (*size, 3) and image.dtype == np.uint8
    assert 1 <= len(objects) <= 6


def test_json_has_what_coco_asks_for(tiny):
    coco = json.loads((tiny / "annotations" / "instances_train.json").read_text())
    assert [c["name"] for c in coco["categories"]] == CLASSES
    assert [c["id"] for c in coco["categories"]] == [1, 2, 3, 4, 5, 6]
    assert coco["licenses"] == [] and coco["info"]["options"]["seed"] == 3
    assert [i["id"] for i in coco["images"]] == [1, 2, 3, 4]
    for image in coco["images"]:
        assert Image.open(tiny / "train" / image["file_name"]).size == (64, 48)
    ids = [a["id"] for a in coco["annotations"]]
    assert len(set(ids)) == len(ids) and {a["image_id"] for a in coco["annotations"]} == {
        1,
        2,
        3,
        4,
    }


def test_annotations_agree_with_their_masks(annotated):
    kinds = set()
    for objects, annotations in annotated:
        for scene_object, annotation in zip(objects, annotations, strict=True):
            mask = decoded(annotation, 128, 128)
            assert np.array_equal(mask, scene_object.visible)
            assert annotation["area"] == mask.sum() > 0
            ys, xs = np.nonzero(mask)
            box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            assert annotation["bbox"] == box
            outer = scene_object.polygons[0]
            assert outer.min() >= 0 and outer.max() <= 128
            kinds.add(type(annotation["segmentation"]))
    assert kinds == {list, dict}


def test_visible_masks_do_not_overlap_and_keep_their_share(annotated):
    for objects, _ in annotated:
        assert sum(o.visible.astype(int) for o in objects).max() == 1
        assert all(o.visible.sum() >= 0.4 * o.area for o in objects)
    assert any(o.is_occluded for objects, _ in annotated for o in objects)


def test_ring_has_a_hole(annotated):
    objects = [o for objects, _ in annotated for o in objects if not o.is_occluded]
    rings = [o.visible for o in objects if o.category == "ring"]
    assert rings and all((binary_fill_holes(ring) & ~ring).any() for ring in rings)
    assert all(
        isinstance(annotate(o)["segmentation"], dict) for o in objects if o.category == "ring"
    )


def test_train_and_val_see_different_parts_of_the_photographs():
    for name in textures.PHOTOS:
        train, val = (textures._photo_region(name, split, 1) for split in ("train", "val"))
        package = importlib.util.find_spec("skimage").submodule_search_locations[0]
        with Image.open(os.path.join(package, "data", f"{name}.png")) as photo:
            assert train.shape[1] + val.shape[1] == photo.width
            whole = np.asarray(photo.convert("RGB"))
        assert np.array_equal(np.concatenate([train, val], axis=1), whole)


def test_patterns_are_as_fine_as_promised():
    rng = np.random.RandomState(0)
    for _ in range(30):
        pattern = textures.pattern(rng, 64, 64)
        assert np.abs(pattern).max() <= textures.UNIT
        power = np.abs(np.fft.fft2(pattern - pattern.mean())) ** 2
        f = np.fft.fftfreq(64)
        radius = np.hypot(f[:, None], f)
        # Nothing but leakage at periods clearly longer than the coarsest one.
        assert power[radius < 0.06].sum() < 0.05 * power.sum()


def test_label_maps_say_what_the_annotations_say(tiny):
    for split in ("train", "val"):
        coco = json.loads((tiny / "annotations" / f"instances_{split}.json").read_text())
        for image in coco["images"]:
            labels = np.asarray(Image.open(tiny / f"sem_seg_{split}" / image["file_name"]))
            expected = np.zeros((48, 64), np.uint8)
            for annotation in coco["annotations"]:
                if annotation["image_id"] == image["id"]:
                    expected[decoded(annotation, 48, 64)] = annotation["category_id"]
            # A polygon is drawn with another rule for the pixels on its edge.
            assert (labels != expected).mean() < 0.02
            assert labels.dtype == np.uint8 and set(np.unique(labels)) == set(np.unique(expected))


def test_loads_with_detectron2(tiny):
    from detectron2.data import DatasetCatalog

    from aa_detectron.data.datasets import builtin

    try:
        builtin.register_all_shapes(str(tiny.parent))
        dicts = DatasetCatalog.get("shapes_train")
        assert len(dicts) == 4
        assert os.path.isfile(dicts[0]["file_name"])
        assert all(0 <= a["category_id"] < 6 for d in dicts for a in d["annotations"])
        assert all(a["segmentation"] for d in dicts for a in d["annotations"])
        labeled = DatasetCatalog.get("shapes_sem_seg_train")
        assert all(os.path.isfile(d["sem_seg_file_name"]) for d in labeled)
        keys = ("file_name", "image_id", "height", "width")
        assert [[d[k] for k in keys] for d in labeled] == [[d[k] for k in keys] for d in dicts]
    finally:
        importlib.reload(builtin)  # back to where it was


def arguments(root, *more):
    return [
        "--root",
        str(root),
        "--train",
        "2",
        "--val",
        "1",
        "--size",
        "32",
        "--workers",
        "1",
        *more,
    ]


def test_tool_makes_reuses_and_replaces(tmp_path, capsys):
    assert cli.run(arguments(tmp_path)) == 0
    first = content(tmp_path / "shapes")
    assert cli.run(arguments(tmp_path)) == 0
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"has seed=0 instead of 5; .*--force"):
        cli.run(arguments(tmp_path, "--seed", "5"))
    assert content(tmp_path / "shapes") == first
    assert cli.run(arguments(tmp_path, "--seed", "5", "--force")) == 0
    assert content(tmp_path / "shapes").keys() == first.keys()
    assert content(tmp_path / "shapes") != first
    assert os.listdir(tmp_path) == ["shapes"]


@pytest.mark.parametrize(
    "more, message",
    [
        (["--train", "0"], "train is 0"),
        (["--size", "8"], "size is '8x8'"),
        (["--train", "9" * 20], "train is 9"),
        (["--size", "100000"], "size is '100000x100000'"),
        (["--workers", "100000"], "workers is 100000"),
        (["--root", "a\0b"], "root is 'a"),
        (["--seed", "-1"], "seed is -1"),
        (["--workers", "0"], "workers is 0"),
    ],
)
def test_tool_rejects_options_in_one_line(tmp_path, more, message):
    with pytest.raises(SystemExit, match=message) as error:
        cli.run(arguments(tmp_path, *more))
    assert "\n" not in error.value.code
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("text", [None, "", "5", "{}"])
def test_tool_leaves_a_folder_alone_that_it_does_not_know(tmp_path, text, force):
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "mine").touch()
    if text is not None:
        (tmp_path / "shapes" / "options.json").write_text(text)
    with pytest.raises(SystemExit, match="is not a Shapes dataset"):
        cli.run(arguments(tmp_path, *force))
    assert (tmp_path / "shapes" / "mine").exists()


def test_tool_reports_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="error: .*shapes: cannot be written"):
        cli.run(arguments(tmp_path / "file" / "below"))


def test_tool_takes_both_kinds_of_size(capsys):
    assert cli.parse_size("96") == (96, 96) and cli.parse_size("96x160") == (96, 160)
    for bad in ("", "x", "1x2x3", "big"):
        with pytest.raises(SystemExit):
            cli.run(["--size", bad])
    assert "neither a side nor" in capsys.readouterr().err


@pytest.mark.parametrize("existing", [False, True])
def test_interruption_leaves_nothing_half_written(tmp_path, monkeypatch, existing):
    if existing:
        cli.run(arguments(tmp_path))
    before = content(tmp_path)

    def interrupt(options, split, index):
        if split == "val":
            raise KeyboardInterrupt
        return draw_image(options, split, index)

    monkeypatch.setattr(generate, "draw_image", interrupt)
    assert cli.run(arguments(tmp_path, "--seed", "1", "--force")) == 130
    assert content(tmp_path) == before
    assert os.listdir(tmp_path) == (["shapes"] if existing else [])


def test_failed_swap_restores_the_old_data(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").touch()
    with pytest.raises(OSError):
        generate._swap_in(str(tmp_path / "missing"), str(tmp_path / "target"), str(tmp_path / "x"))
    assert os.listdir(tmp_path / "target") == ["old"]
