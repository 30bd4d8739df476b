"""tools/convert_weights.py."""

import runpy
import subprocess
import sys

import pytest
import torch
from checkpoint.networks import zou
from helpers import ROOT

TOOL = str(ROOT / "tools" / "convert_weights.py")


def test_says_what_it_found(tmp_path):
    torch.save({"state_dict": zou(1, 5, 2).state_dict()}, tmp_path / "in.pth.tar")
    command = [sys.executable, TOOL, tmp_path / "in.pth.tar", tmp_path / "new" / "out.pth"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    found, needs, wrote = result.stdout.splitlines()
    assert found == "found ResNet-18, names of Zou (classification)"
    for option in (
        "INPUT.FORMAT RGB",
        "MODEL.PIXEL_STD '[58.395, 57.12, 57.375]'",
        "MODEL.RESNETS.DEPTH 18",
        "MODEL.RESNETS.STEM_OUT_CHANNELS 16",
        "MODEL.ANTIALIAS.KERNEL_SIZE 5",
        "MODEL.ANTIALIAS.SOFTMAX all",
    ):
        assert f" {option} " in f"{needs} "
    assert wrote.endswith("out.pth")
    written = torch.load(tmp_path / "new" / "out.pth", weights_only=True)
    assert written.keys() == {"model", "__author__", "matching_heuristics", "notes"}
    assert "stem.aa.predictor.weight" in written["model"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.pth"]


class Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def wrong_shape(path):
    weights = zou(1, 3, 4).state_dict()
    torch.save({**weights, "layer3.1.bn2.bias": torch.zeros(3)}, path)


def truncated(path):
    torch.save(zou(1, 3, 4).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    "make, reason",
    [
        (
            wrong_shape,
            "1 weights do not fit, the first: layer3.1.bn2.bias is 3 in the file and 64 in",
        ),
        (truncated, "cannot be loaded as a checkpoint (PytorchStreamReader"),
        (lambda path: torch.save([Trap(path.with_name("sprung"))], path), "needs io.open, but"),
    ],
    ids=["wrong shape", "truncated", "malicious"],
)
def test_refused_in_one_line_and_nothing_written(make, reason, tmp_path, monkeypatch):
    make(tmp_path / "in.pth")
    (tmp_path / "out.pth").write_text("of before")
    monkeypatch.setattr(sys, "argv", [TOOL, str(tmp_path / "in.pth"), str(tmp_path / "out.pth")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(TOOL, run_name="__main__")
    line = ended.value.code  # which Python prints on stderr, with exit status 1
    assert line.startswith(f"error: {tmp_path / 'in.pth'}: ") and reason in line
    assert "\n" not in line
    assert (tmp_path / "out.pth").read_text() == "of before"
    assert {path.name for path in tmp_path.iterdir()} == {"in.pth", "out.pth"}


def test_output_that_detectron2_would_not_read(tmp_path, monkeypatch):
    torch.save(zou(1, 3, 4).state_dict(), tmp_path / "in.pth")
    monkeypatch.setattr(sys, "argv", [TOOL, str(tmp_path / "in.pth"), str(tmp_path / "out.pkl")])
    with pytest.raises(SystemExit, match="out.pkl: must end in .pth"):
        runpy.run_path(TOOL, run_name="__main__")
    assert {path.name for path in tmp_path.iterdir()} == {"in.pth"}


def test_interrupted_while_writing(tmp_path, monkeypatch):
    torch.save(zou(1, 3, 4).state_dict(), tmp_path / "in.pth")
    (tmp_path / "out.pth").write_text("of before")

    def fails(content, path):
        path.write_bytes(b"half")
        raise RuntimeError("No space left on device\nand a trace")

    monkeypatch.setattr(torch, "save", fails)
    monkeypatch.setattr(sys, "argv", [TOOL, str(tmp_path / "in.pth"), str(tmp_path / "out.pth")])
    with pytest.raises(SystemExit, match=r"out.pth: cannot be written \(No space left on device\)"):
        runpy.run_path(TOOL, run_name="__main__")
    assert (tmp_path / "out.pth").read_text() == "of before"
    assert {path.name for path in tmp_path.iterdir()} == {"in.pth", "out.pth"}
