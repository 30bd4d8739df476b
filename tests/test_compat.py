"""Detectron2 as users meet it after ``import aa_detectron``, whatever the build.

These are tests of behavior: on a build without a fault they pass without the fix.
"""

import importlib.util
import json
import os
import random
import subprocess
import sys
import types
from pathlib import Path

import detectron2.engine
import numpy as np
import pytest
from detectron2.data import detection_utils
from detectron2.data.datasets import coco, load_coco_json
from detectron2.data.detection_utils import read_image
from PIL import Image, ImageOps

from aa_detectron import compat

ROOT = Path(__file__).resolve().parents[1]

# -- COCO annotations ----------------------------------------------------------------------------

# Floats that any arithmetic, rounding or passing through float32 would change.
POLYGON = [0.1, 0.2, 7.300000000000001, 0.30000000000000004, 5.123456789012345, 6.7]
SECOND = [1, 1, 4, 1, 4.4, 4.000000000000001, 1, 4]
TWO_POINTS = [1.0, 1.0, 2.0, 2.0]


def write_coco(folder, **annotation):
    """Write a COCO file with one 10 x 8 image and one annotation; return its path."""
    base = {"id": 7, "image_id": 3, "category_id": 1, "bbox": [1, 2, 3.5, 4], "iscrowd": 0}
    content = {
        "images": [{"id": 3, "file_name": "a.jpg", "width": 10, "height": 8}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [{**base, **annotation}],
    }
    path = folder / "coco.json"
    path.write_text(json.dumps(content))
    return str(path)


def load_one(folder, **annotation):
    """The only annotation of the only record that Detectron2 loads from such a file."""
    (record,) = load_coco_json(write_coco(folder, **annotation), "images")
    (loaded,) = record["annotations"]
    assert record["image_id"] == 3 and (record["height"], record["width"]) == (8, 10)
    assert loaded["bbox"] == [1, 2, 3.5, 4]
    return loaded


@pytest.mark.parametrize(
    "written, loaded",
    [
        ([POLYGON], [POLYGON]),
        ([POLYGON, SECOND], [POLYGON, SECOND]),
        ([POLYGON, TWO_POINTS, SECOND], [POLYGON, SECOND]),  # a line has no area
    ],
)
def test_coco_polygons_are_loaded_to_the_last_digit(tmp_path, written, loaded):
    assert load_one(tmp_path, segmentation=written)["segmentation"] == loaded


def test_coco_compressed_rle_is_loaded_as_written(tmp_path):
    rle = {"size": [8, 10], "counts": ":440f1"}  # 10 off, 4 on, 4 off, 4 on, 58 off
    assert load_one(tmp_path, segmentation=rle)["segmentation"] == rle


def test_coco_crowd_as_uncompressed_rle_is_compressed(tmp_path):
    rle = {"size": [8, 10], "counts": [10, 4, 4, 4, 58]}
    loaded = load_one(tmp_path, segmentation=rle, iscrowd=1)
    assert loaded["segmentation"] == {"size": [8, 10], "counts": b":440f1"}
    assert loaded["iscrowd"] == 1


def test_coco_keypoints_move_by_half_a_pixel(tmp_path):
    loaded = load_one(tmp_path, segmentation=[POLYGON], keypoints=[1, 2, 2, 3, 4, 1, 0, 0, 0])
    assert loaded["keypoints"] == [1.5, 2.5, 2, 3.5, 4.5, 1, 0.5, 0.5, 0]


def test_coco_loading_leaves_imports_as_they_were(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "kwimage", raising=False)
    load_one(tmp_path, segmentation=[POLYGON])
    with pytest.raises(FileNotFoundError):
        load_coco_json(str(tmp_path / "missing.json"), "images")
    assert "kwimage" not in sys.modules
    users_own = types.ModuleType("kwimage")
    monkeypatch.setitem(sys.modules, "kwimage", users_own)
    load_one(tmp_path, segmentation=[POLYGON])
    assert sys.modules["kwimage"] is users_own


# -- EXIF orientation ----------------------------------------------------------------------------


def write_photograph(folder, orientation):
    """Write [[1, 2, 3], [4, 5, 6]] as a PNG that says how the camera was held."""
    path = str(folder / "photograph.png")
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)).save(path, exif=exif)
    return path


def test_photograph_held_sideways_is_turned_upright(tmp_path):
    image = read_image(write_photograph(tmp_path, 6), "L")[..., 0]  # stored: a quarter turn left
    assert image.tolist() == [[4, 1], [5, 2], [6, 3]]


@pytest.mark.parametrize("orientation", range(10))  # 1 to 8 are legal
def test_every_orientation_agrees_with_pillow(tmp_path, orientation):
    path = write_photograph(tmp_path, orientation)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(read_image(path, "L")[..., 0], expected)


def test_image_with_unreadable_exif_stays_as_it_is(monkeypatch):
    def unreadable(self):
        raise SyntaxError("not a TIFF file")

    image = Image.new("L", (2, 1))
    monkeypatch.setattr(Image.Image, "getexif", unreadable)
    assert detection_utils._apply_exif_orientation(image) is image


# -- Applying ------------------------------------------------------------------------------------


def test_applying_again_changes_nothing_and_draws_no_random_number():
    numpy_state, python_state = repr(np.random.get_state()), random.getstate()
    before = coco.load_coco_json, detection_utils._apply_exif_orientation
    assert compat.apply() == []
    assert before == (coco.load_coco_json, detection_utils._apply_exif_orientation)
    assert repr(np.random.get_state()) == numpy_state
    assert random.getstate() == python_state


def test_every_module_holds_the_fixed_function():
    assert coco.load_coco_json is load_coco_json
    assert detectron2.engine.defaults.create_ddp_model is detectron2.engine.create_ddp_model


def test_a_fixed_function_reaches_a_script_that_took_the_name_before(monkeypatch):
    def old(): ...
    def new(): ...

    script = types.ModuleType("users_script")
    script.its_name, script.other = old, len
    monkeypatch.setitem(sys.modules, "users_script", script)
    compat._replace(old, new)
    assert script.its_name is new and script.other is len


def test_import_is_quiet_and_leaves_random_numbers_alone():
    code = (
        "import numpy, random, torch; state = lambda: (numpy.random.get_state(legacy=False),"
        " random.getstate(), torch.get_rng_state().tolist()); before = repr(state());"
        " import aa_detectron, detectron2.model_zoo; assert repr(state()) == before"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr, result.stderr


# -- What is installed ---------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [None, types.SimpleNamespace(origin=None)])
def test_missing_detectron2_is_one_clear_message(monkeypatch, spec):
    compat.require_detectron2("something")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ImportError, match="^something needs Detectron2") as error:
        compat.require_detectron2("something")
    assert "\n" not in str(error.value)
    for way in ("make install", "install_detectron2.py", "facebookresearch/detectron2"):
        assert way in str(error.value)


def test_broken_detectron2_is_one_clear_message(tmp_path):
    """What does not need it can be imported, and the rest names the error of the build."""
    (tmp_path / "detectron2").mkdir()
    broken = 'raise ImportError("_C.so: undefined symbol: _ZN3c10\\nand more")'
    (tmp_path / "detectron2" / "__init__.py").write_text(broken)
    code = """
import aa_detectron.consistency, aa_detectron.checkpoint
from aa_detectron import antialias
from aa_detectron.layers import AdaptiveBlurPool2d
from aa_detectron.__main__ import describe

AdaptiveBlurPool2d(8)
print(dict(describe())["detectron2"])
for name in ("aa_detectron.engine", "aa_detectron.data", "aa_detectron.evaluation"):
    try:
        __import__(name)
    except ImportError as error:
        print(error)
try:
    from aa_detectron import add_aa_config
except ImportError as error:
    print(error)
"""
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": path}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    build, *lines = result.stdout.splitlines()
    assert build == "cannot be imported (ImportError: _C.so: undefined symbol: _ZN3c10)"
    names = ["engine", "data", "evaluation", "add_aa_config"]
    for name, line in zip(names, lines, strict=True):
        assert (
            line
            == f"aa_detectron.{name} needs Detectron2, which {build}; reinstall it for this PyTorch"
        )


def test_compiled_ops_are_those_that_load(monkeypatch):
    monkeypatch.setitem(sys.modules, "detectron2._C", types.ModuleType("detectron2._C"))
    assert compat.has_compiled_ops()
    assert "with compiled ops" in compat.describe_build()
    monkeypatch.setitem(sys.modules, "detectron2._C", None)  # an import of it fails
    assert not compat.has_compiled_ops()
    assert "pure Python" in compat.describe_build()


def test_projects_are_those_that_import():
    try:
        from detectron2.projects import deeplab  # noqa: F401
    except ImportError:
        assert not compat.has_projects()
    else:
        assert compat.has_projects()


def test_description_names_version_and_folder():
    line = compat.describe_build()
    assert line.startswith(f"detectron2 {detectron2.__version__} (")
    assert line.endswith(f" in {detectron2.__path__[0]}")
    assert "\n" not in line
