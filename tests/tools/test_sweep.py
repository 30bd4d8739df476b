"""The functions of the command, with a made-up network in place of a trained one."""

import importlib.util
import json
import sys

import numpy as np
import pytest
import torch
from consistency.models import squares
from detectron2.config import get_cfg
from helpers import ROOT
from PIL import Image

from aa_detectron import add_aa_config
from aa_detectron.engine.launch import LoadedModel
from aa_detectron.errors import InputError, InvalidOption


@pytest.fixture
def sweep(monkeypatch):
    """The module, whose model answers with the brightness of each pixel."""
    spec = importlib.util.spec_from_file_location("sweep_tool", ROOT / "tools" / "sweep.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.MODEL.WEIGHTS, cfg.DATASETS.TEST = "trained.pth", ("some_val",)

    def model(inputs):
        maps = [item["image"][0] > 120 for item in inputs]
        return [{"sem_seg": torch.stack([~bright, bright]).float()} for bright in maps]

    monkeypatch.setattr(module, "load_model", lambda *_, **__: LoadedModel(cfg, model))
    return module


def run(sweep, monkeypatch, tmp_path, *options):
    fixed = ["--config-file", "some.yaml", "--output", str(tmp_path / "records.json")]
    monkeypatch.setattr(sys, "argv", ["sweep.py", *fixed, *map(str, options)])
    sweep.main()
    return json.loads((tmp_path / "records.json").read_text())


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(squares(number)[60:124]).save(folder / f"{number}.png")
    return folder


def test_records_say_what_was_measured(sweep, images, monkeypatch, tmp_path):
    options = "--images", images, "--max-shift", 8, "--stride", 4, "--number", 2
    found = run(sweep, monkeypatch, tmp_path, *options, "MODEL.DEVICE", "cpu")
    expected = {
        "config_file": "some.yaml", "opts": ["MODEL.DEVICE", "cpu"], "weights": "trained.pth",
        "images": str(images), "number": 2, "mosaic": 1, "remedy": None, "total_stride": None,
        "kind": "sweep", "max_shift": 8, "stride": 4,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected
    assert {record["image_id"] for record in found["pairs"]} == {0, 1}
    remedied = run(sweep, monkeypatch, tmp_path, *options, "--remedy", "aligned")
    assert (remedied["remedy"], remedied["total_stride"]) == ("aligned", 32)


@pytest.mark.parametrize("option, value", [("mosaic", 0), ("mosaic", -1), ("number", -1)])
def test_illegal_numbers(sweep, images, option, value, monkeypatch, tmp_path):
    with pytest.raises(InvalidOption, match=f"--{option} is {value}, but must be an integer"):
        run(sweep, monkeypatch, tmp_path, "--images", images, f"--{option}", value)


def test_the_output_is_checked_before_the_model_is_loaded(sweep, images, monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "load_model", lambda *_, **__: pytest.fail("loaded"))
    (tmp_path / "records.json").mkdir()
    with pytest.raises(InputError, match="records.json: is a folder"):
        run(sweep, monkeypatch, tmp_path, "--images", images)


def test_too_few_images_for_a_mosaic(sweep, images, monkeypatch, tmp_path):
    with pytest.raises(InputError, match="found 3 images, but --mosaic 2 needs 4 or more"):
        run(sweep, monkeypatch, tmp_path, "--images", images, "--mosaic", 2)


@pytest.mark.parametrize("image_format", ["BGR", "RGB", "L"])
def test_crops_have_the_format_of_the_network(sweep, image_format):
    crop = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    item = sweep._as_input(crop, image_format)
    expected = {"BGR": crop[..., ::-1], "RGB": crop}.get(image_format)
    if expected is None:
        expected = np.asarray(Image.fromarray(crop).convert("L"))[..., None]
    assert torch.equal(item["image"], torch.from_numpy(expected.transpose(2, 0, 1).copy()))
    assert item["image"].dtype == torch.uint8 and (item["height"], item["width"]) == (5, 7)
