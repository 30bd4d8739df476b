import argparse
import json
import os
import pickle
import runpy
import subprocess
import sys

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from helpers import DEMO_CONFIG, ROOT, make_small_shapes, small_options

from aa_detectron.engine import own_parts
from aa_detectron.engine.launch import load_config
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.layers import LOWPASS_REGISTRY

REGISTERS_FILTER = """
from torch import nn
from aa_detectron.layers import LOWPASS_REGISTRY

@LOWPASS_REGISTRY.register()
def own_average(cfg, channels, stride):
    return nn.AvgPool2d(stride, ceil_mode=True)
"""


@pytest.fixture
def catalogs():
    """What a test registers ends with it."""
    catalogs = DatasetCatalog, MetadataCatalog
    before = [set(catalog) for catalog in catalogs]
    filters = dict(LOWPASS_REGISTRY._obj_map)
    modules = set(sys.modules)
    yield
    LOWPASS_REGISTRY._obj_map = filters
    for catalog, names in zip(catalogs, before, strict=True):
        for name in set(catalog) - names:
            catalog.remove(name)
    for name in sys.modules.keys() - modules:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def _path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def parse(*words):
    parser = argparse.ArgumentParser()
    own_parts.add_arguments(parser)
    parser.add_argument("opts", nargs=argparse.REMAINDER)
    return parser.parse_args(words)


def test_a_child_gets_the_same():
    words = ["--import", "a.py", "--import=-b.py", "--coco", "n", "j", "f", "--coco", "x", "y", "z"]
    args = parse(*words, "KEY", "--import")
    assert args.imports == ["a.py", "-b.py"] and args.opts == ["KEY", "--import"]
    assert parse(*own_parts.as_arguments(args), *args.opts) == args
    assert own_parts.as_arguments(parse()) == []
    assert pickle.loads(pickle.dumps(args)) == args  # as a process of several GPUs gets it


def coco_file(path):
    images = [{"id": 1, "file_name": "1.png", "height": 4, "width": 4}]
    objects = [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 2, 2]}]
    classes = [{"id": 3, "name": "cat"}]
    content = {"images": images, "annotations": objects, "categories": classes}
    path.write_text(json.dumps(content))


@pytest.mark.usefixtures("catalogs")
def test_coco_datasets(tmp_path):
    coco_file(tmp_path / "a.json")
    (tmp_path / "b.json").write_text("not read before it is used")
    args = parse("--coco", "own_a", "a.json", ".", "--coco", "own_b", "b.json", ".")
    for _ in range(2):
        own_parts.register(args)
    (image,) = DatasetCatalog.get("own_a")
    assert image["file_name"] == "./1.png"
    assert MetadataCatalog.get("own_a").thing_classes == ["cat"]
    with pytest.raises(InputError, match="--coco own_a: a dataset of this name is already"):
        own_parts.register(parse("--coco", "own_a", "b.json", "."))


@pytest.mark.parametrize(
    "dataset, message",
    [
        (("shapes_val", "a.json", "."), "--coco shapes_val: a dataset of this name is already"),
        (("own", "none.json", "."), "--coco own: none.json is no file"),
        (("own", ".", "a.json"), "--coco own: . is no file"),
        (("own", "a.json", "none"), "--coco own: none is no folder"),
    ],
)
def test_coco_dataset_that_cannot_be_registered(tmp_path, dataset, message):
    coco_file(tmp_path / "a.json")
    with pytest.raises(InputError, match=message):
        own_parts.register(parse("--coco", *dataset))
    assert "own" not in DatasetCatalog


@pytest.mark.usefixtures("catalogs")
@pytest.mark.parametrize(
    "line, message",
    [
        ("DatasetCatalog.register('shapes_val', list)", "Dataset 'shapes_val' is already"),
        ("register_coco_instances('shapes_val', {}, 'a', 'b')", "of 'shapes_val' cannot be set"),
        (
            "LOWPASS_REGISTRY.register(LOWPASS_REGISTRY.get('blur'))",
            "named 'blur' was already registered in 'LOWPASS'",
        ),
    ],
)
def test_name_that_is_registered_twice(tmp_path, line, message):
    file = tmp_path / "twice_registered.py"
    imports = [
        "from detectron2.data import DatasetCatalog",
        "from detectron2.data.datasets import register_coco_instances",
        "from aa_detectron.layers import LOWPASS_REGISTRY",
    ]
    file.write_text("\n".join([*imports, line]))
    with pytest.raises(InputError, match=message) as rejected:
        own_parts.register(parse("--import", "twice_registered.py"))
    found = "--import twice_registered.py: twice_registered.py, line 4: "
    assert str(rejected.value).startswith(found) and "\n" not in str(rejected.value)


def test_other_assertions_are_the_users(tmp_path):
    (tmp_path / "asserts_something.py").write_text("assert False, 'mine'")
    with pytest.raises(AssertionError, match="mine"):
        own_parts.register(parse("--import", "asserts_something"))


# -- The commands --------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    """Words of a command line, and config options, for a dataset and a filter in two files."""
    make_small_shapes(tmp_path / "data", train=4, val=2)
    (tmp_path / "the_filter.py").write_text(REGISTERS_FILTER)
    (tmp_path / "my-parts.py").write_text("import the_filter")
    data = tmp_path / "data" / "shapes"
    words = ["--config-file", DEMO_CONFIG, "--import", "my-parts.py"]
    for split in ("train", "val"):
        words += ["--coco", f"own_{split}", data / f"annotations/instances_{split}.json"]
        words += [data / split]
    opts = ["MODEL.ANTIALIAS.NAME", "own_average", "DATASETS.TRAIN", "('own_train',)"]
    opts += [*small_options(tmp_path / "out"), "SOLVER.MAX_ITER", "1"]
    return list(map(str, words)), [*opts, "DATASETS.TEST", "('own_val',)"]


@pytest.mark.usefixtures("catalogs")
def test_training_on_two_processes_and_pictures(own, tmp_path, monkeypatch):
    words, opts = own
    train = [sys.executable, str(ROOT / "tools" / "train_net.py"), "--num-gpus", "2"]
    done = subprocess.run(
        [*train, "--dist-url", "auto", *words, *opts],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "DETECTRON2_DATASETS": "/none"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "out" / "metrics.json").read_text().splitlines()[-1])
    assert "bbox/AP" in scores and "consistency_bbox/mAISC" in scores
    records = tmp_path / "out" / "inference" / "consistency_instances_own_val.json"
    assert len(json.loads(records.read_text())["pairs"]) == 2

    tool, pictures = ROOT / "tools" / "visualize_pairs.py", tmp_path / "pairs"
    words += ["--records", str(records), "--num", "1", "--output", str(pictures)]
    opts += ["MODEL.WEIGHTS", str(tmp_path / "out" / "model_final.pth")]
    monkeypatch.setattr(sys, "argv", [str(tool), *words, *opts])
    runpy.run_path(str(tool), run_name="__main__")
    assert len(list(pictures.iterdir())) == 1


def test_unknown_datasets(tmp_path):
    for key in ("DATASETS.TEST", "TEST.CONSISTENCY.DATASETS"):
        with pytest.raises((InputError, InvalidOption)) as rejected:
            load_config(str(DEMO_CONFIG), [key, "('own_val',)"])
        line = str(rejected.value)
        assert line.startswith(key) and "'own_val'" in line
        assert "--coco NAME JSON FOLDER" in line and "--import MODULE_OR_FILE" in line
