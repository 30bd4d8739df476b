"""The conv that has the stride of bottleneck blocks, in the notes of checkpoints."""

import logging

import pytest
import torch
import torchvision
from checkpoint.test_checkpointer import Detector, config, write

from aa_detectron.checkpoint import convert, read_checkpoint
from aa_detectron.engine import AACheckpointer
from aa_detectron.errors import InputError

KEY = "MODEL.RESNETS.STRIDE_IN_1X1"


def warned(model, path, caplog, **kwargs):
    checkpointer = AACheckpointer(model, **kwargs)
    checkpointer.logger = logging.getLogger("test")  # not silenced by other tests
    checkpointer._log_incompatible_keys = lambda keys: None
    caplog.clear()
    with caplog.at_level(logging.WARNING, "test"):
        checkpointer.load(path)
    return [record.getMessage() for record in caplog.records]


def detector(name, stride_in_1x1, depth=50):
    cfg = config(name, depth)
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = stride_in_1x1
    return Detector(cfg)


@pytest.fixture(scope="module")
def resnet50():
    return torchvision.models.resnet50()


@pytest.mark.parametrize("naming, theirs", [("torchvision", False), ("MSRA", True)])
def test_files_of_other_libraries(naming, theirs, resnet50, tmp_path, caplog):
    path = write(resnet50, naming, tmp_path)
    (line,) = warned(detector("none", not theirs), path, caplog)
    assert line.endswith(
        f": comes from a network with {KEY} {theirs}, but this one has {KEY} {not theirs}"
    )
    assert not warned(detector("none", theirs), path, caplog)
    for name, number in (("blur", 0), ("blur,blur,none,blur", 1)):  # filters take the stride
        assert len(warned(detector(name, not theirs), path, caplog)) == number


def test_a_strict_load_warns_where_names_are_all_that_is_known(resnet50, tmp_path, caplog):
    path = write(resnet50, "torchvision", tmp_path)
    model = detector("none", True)
    model.backbone.linear = torch.nn.Linear(2048, 1000)
    assert [KEY in line for line in warned(model, path, caplog, strict=True)] == [True]


def test_written_by_the_converter_of_detectron2(tmp_path, caplog):
    content = {"model": detector("none", True).state_dict(), "__author__": "torchvision"}
    torch.save(content, tmp_path / "theirs.pth")
    path = str(tmp_path / "theirs.pth")
    assert [KEY in line for line in warned(detector("none", True), path, caplog)] == [True]
    assert not warned(detector("none", False), path, caplog)


def test_basic_blocks_have_no_such_option(tmp_path, caplog):
    path = str(tmp_path / "resnet18.pth")
    torch.save(torchvision.models.resnet18().state_dict(), path)
    assert not warned(detector("none", True, depth=18), path, caplog)


def test_our_own_checkpoints(tmp_path, caplog):
    """They keep it; it is certain, and an evaluation with another value is refused."""
    AACheckpointer(detector("none", True), str(tmp_path)).save("ours")
    path = str(tmp_path / "ours.pth")
    assert convert(read_checkpoint(path), path).notes["config"][KEY] is True
    assert not warned(detector("none", True), path, caplog, strict=True)
    other = detector("none", False)
    (line,) = warned(other, path, caplog)
    assert f"{KEY} True" in line and f"{KEY} False" in line
    with pytest.raises(InputError, match=f"ours.pth: comes from a network with {KEY} True"):
        AACheckpointer(other, strict=True).load(path)


@pytest.mark.parametrize("notes", [{}, None, {"config": {"MODEL.ANTIALIAS.NAME": "none"}}])
def test_older_checkpoints_of_ours_say_nothing(notes, tmp_path, caplog):
    path = str(tmp_path / "old.pth")
    torch.save({"model": detector("none", True).state_dict(), "notes": notes}, path)
    assert not warned(detector("none", False), path, caplog, strict=True)
