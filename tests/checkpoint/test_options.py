"""Options of the filters in a checkpoint's notes."""

import logging

import pytest
import torch
from checkpoint.test_checkpointer import Detector, config

from aa_detectron.checkpoint import convert, read_checkpoint
from aa_detectron.engine import AACheckpointer
from aa_detectron.errors import InputError

KEPT = {
    "SOFTMAX": "all",
    "PADDING_MODE": "zeros",
    "INIT": "kaiming",
    "STEM_POOL_SIZE": 2,
    "ADAPTIVITY": "spatial",
    "DILATED": False,
    "NAME": "none",
}


def checkpointer(folder, name="adaptive", **options):
    cfg = config(name, depth=18)
    cfg.OUTPUT_DIR = str(folder)
    for key, value in options.items():
        cfg.MODEL.ANTIALIAS[key] = value
    return lambda **kwargs: AACheckpointer.from_config(cfg, Detector(cfg), **kwargs)


@pytest.fixture(scope="module")
def blur(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blur")
    checkpointer(folder, "blur", KERNEL_SIZE=5)().save("model")
    return folder


@pytest.fixture(scope="module")
def adaptive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adaptive")
    checkpointer(folder)().save("model")
    return folder


def warned(made, path, caplog):
    made.logger = logging.getLogger("test")
    made._log_incompatible_keys = lambda keys: None
    with caplog.at_level(logging.WARNING, "test"):
        made.load(path)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("key", ["SOFTMAX", "PADDING_MODE", "INIT", "STEM_POOL_SIZE", "DILATED"])
def test_other_option(key, adaptive, caplog):
    path = str(adaptive / "model.pth")
    make = checkpointer(adaptive, **{key: KEPT[key]})
    message = f"model.pth: comes from a network with MODEL.ANTIALIAS.{key} .*, but .* {KEPT[key]}"
    with pytest.raises(InputError, match=message):
        make(strict=True).load(path)
    with pytest.raises(InputError, match=message):
        make().resume_or_load("", resume=True)
    (line,) = warned(make(), path, caplog)
    assert f"MODEL.ANTIALIAS.{key}" in line
    checkpointer(adaptive)(strict=True).load(path)


@pytest.mark.parametrize("name, size", [("none", 5), ("blur", 3)])
def test_fixed_filters(name, size, blur):
    """Without weights, so that nothing else tells them apart."""
    with pytest.raises(InputError, match="MODEL.ANTIALIAS.(NAME|KERNEL_SIZE)"):
        checkpointer(blur, name, KERNEL_SIZE=size)(strict=True).load(str(blur / "model.pth"))


def test_without_effect(blur):
    make = checkpointer(blur, "blur", KERNEL_SIZE=5, GROUPS=4, SOFTMAX="all", FREEZE=True)
    make(strict=True).load(str(blur / "model.pth"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    checkpointer(folder, "gaussian, adaptive,adaptive,none", SIGMA=0.7)().save("model")
    return folder


@pytest.mark.parametrize(
    "name, options",
    [
        ("blur,adaptive,adaptive,none", {}),
        ("gaussian,adaptive,adaptive,flc", {}),
        ("gaussian,adaptive,adaptive,none", {"SIGMA": 0.8}),
        ("gaussian,adaptive,adaptive,none", {"PREDICTOR_SMOOTH": True}),
        ("gaussian,adaptive,adaptive,none", {"SOFTMAX": "all"}),
    ],
)
def test_names_per_place(name, options, mixed):
    path = str(mixed / "model.pth")
    checkpointer(mixed, "gaussian,adaptive,adaptive,none", SIGMA=0.7)(strict=True).load(path)
    with pytest.raises(InputError, match="comes from a network with MODEL.ANTIALIAS."):
        checkpointer(mixed, name, **{"SIGMA": 0.7} | options)(strict=True).load(path)


@pytest.mark.parametrize("mixed", ["pasa", "blur,pasa,pasa,pasa"])
def test_the_published_filter_under_both_names(mixed, tmp_path):
    """The alias and the options that it stands for are the same network."""
    named = checkpointer(tmp_path, mixed)
    spelled = checkpointer(
        tmp_path, mixed.replace("pasa", "adaptive"), SOFTMAX="all", INIT="kaiming"
    )
    for writer, reader in ((named, spelled), (spelled, named)):
        writer().save("model")
        reader(strict=True).load(str(tmp_path / "model.pth"))
    with pytest.raises(InputError, match="MODEL.ANTIALIAS.SOFTMAX"):
        checkpointer(tmp_path, mixed.replace("pasa", "adaptive"))(strict=True).load(
            str(tmp_path / "model.pth")
        )


def test_two_kinds_of_adaptive_filters(tmp_path):
    make = checkpointer(tmp_path, "pasa,adaptive,adaptive,adaptive")
    make().save("model")
    make(strict=True).load(str(tmp_path / "model.pth"))
    with pytest.raises(InputError, match="MODEL.ANTIALIAS.NAME pasa,adaptive"):
        checkpointer(tmp_path)(strict=True).load(str(tmp_path / "model.pth"))


def test_smoothing_leaves_no_trace_in_older_files(adaptive, tmp_path):
    """They say nothing of it, and had none."""
    content = torch.load(adaptive / "model.pth", weights_only=True)
    config = content["notes"]["config"]
    for key in [key for key in config if "PREDICTOR" in key]:
        del config[key]
    torch.save(content, tmp_path / "old.pth")
    checkpointer(tmp_path)(strict=True).load(str(tmp_path / "old.pth"))
    with pytest.raises(InputError, match="MODEL.ANTIALIAS.PREDICTOR_SMOOTH False"):
        checkpointer(tmp_path, PREDICTOR_SMOOTH=True)(strict=True).load(str(tmp_path / "old.pth"))


def test_old_checkpoints_have_no_options(adaptive, tmp_path):
    content = torch.load(adaptive / "model.pth", weights_only=True)
    for notes in ({}, None):
        torch.save({**content, "notes": notes}, tmp_path / "old.pth")
        make = checkpointer(tmp_path, SOFTMAX="all")
        make(strict=True).load(str(tmp_path / "old.pth"))


@pytest.mark.parametrize("config", [[], {"MODEL.ANTIALIAS.SOFTMAX": [torch.zeros(2)]}])
def test_odd_notes(config, adaptive, tmp_path):
    content = torch.load(adaptive / "model.pth", weights_only=True)
    torch.save({**content, "notes": {"config": config}}, tmp_path / "odd.pth")
    with pytest.raises(InputError, match="odd.pth: .*notes"):
        checkpointer(tmp_path)().load(str(tmp_path / "odd.pth"))


def test_conversion_keeps_them(blur):
    path = str(blur / "model.pth")
    found = convert(read_checkpoint(path), path).notes["config"]
    assert found["MODEL.ANTIALIAS.NAME"] == "blur" and found["MODEL.ANTIALIAS.KERNEL_SIZE"] == 5
