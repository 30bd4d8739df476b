"""Files that hold more than weights, or less."""

import argparse
import collections
import os
import pickle
import subprocess
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from aa_detectron.checkpoint import read_checkpoint
from aa_detectron.engine import AACheckpointer
from aa_detectron.errors import InputError


class Trap:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def write(content, path, legacy=False, protocol=2):
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return str(path)


@pytest.mark.parametrize("name", ["a.pth", "a.pkl", "a.pyth", "a.pth.tar"])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "trap, reason",
    [
        (lambda run: Trap(os.system, f"touch {run}"), "posix.system"),
        (lambda run: Trap(eval, f"open({str(run)!r}, 'w')"), r"\S*eval"),
        (lambda run: Trap(subprocess.call, ["touch", str(run)]), r"\S+.call"),
    ],
)
def test_traps_are_refused_and_not_sprung(trap, reason, name, legacy, tmp_path):
    sprung = tmp_path / "sprung"
    weights = {"conv.weight": np.zeros(1) if name.endswith("pkl") else torch.zeros(1)}
    content = {"model": weights, "extra": [trap(sprung)]}
    path = write(content, tmp_path / name, legacy)
    pickle.loads(pickle.dumps(trap(sprung)))
    assert sprung.exists()  # the trap works
    sprung.unlink()
    for read in (read_checkpoint, AACheckpointer(nn.Linear(1, 1)).load):
        with pytest.raises(InputError, match=f"{name}: .*needs {reason}, but only"):
            read(path)
    assert not sprung.exists()


def test_what_is_no_tensor_is_named(tmp_path):
    """Training scripts keep their arguments beside the weights."""
    content = {"state_dict": {"a": torch.zeros(1)}, "args": argparse.Namespace(lr=0.1)}
    path = write(content, tmp_path / "timm.pth")
    with pytest.raises(InputError, match="timm.pth: .*needs argparse.Namespace, but only"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["a.pth", "a.pkl"])
def test_truncated(name, tmp_path):
    weights = {"a": np.ones(1000) if name.endswith("pkl") else torch.ones(1000)}
    path = write(weights, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for size in range(0, len(whole), 97):
        (tmp_path / name).write_bytes(whole[:size])
        with pytest.raises(InputError, match=f"{name}: cannot be loaded as a checkpoint"):
            read_checkpoint(path)


@pytest.mark.parametrize("name", ["a.pth", "a.pkl"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 10, b'{"json": 1}', b"\x80\x04garbage"])
def test_other_files(content, name, tmp_path):
    """torch's advice to load the file even so is not passed on."""
    (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings(), pytest.raises(InputError, match=f"{name}: cannot") as error:
        warnings.simplefilter("error")
        read_checkpoint(tmp_path / name)
    assert "\n" not in str(error.value) and "weights_only" not in str(error.value)


@pytest.mark.parametrize("name", ["a.pth", "a.pkl"])
@pytest.mark.parametrize(
    "content",
    [[1, 2], {"model": [1]}, {"model": {"a": 1}}, {"a": "b"}, {1: {}}, {"state_dict": None}],
)
def test_no_weights(content, name, tmp_path):
    with pytest.raises(InputError, match=f"{name}: .*(no weights|is not a tensor)"):
        read_checkpoint(write(content, tmp_path / name))


def test_missing(tmp_path):
    for name in ("nowhere.pth", "nowhere.pkl"):
        with pytest.raises(InputError, match=f"{name}: .*No such file"):
            read_checkpoint(str(tmp_path / name))
    with pytest.raises(InputError, match="a.safetensors: .*No such file"):
        read_checkpoint("a.safetensors")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_arrays(protocol, core, tmp_path):
    """As NumPy 1 and 2 write them, in every protocol."""
    arrays = {
        "a_w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b_w": np.asfortranarray(np.ones((3, 2), np.float16)),
        "c": np.array(7),
        "d": np.zeros((0, 3)),
    }
    blobs = collections.OrderedDict(arrays, a_w_momentum=np.ones(3))
    content = {"blobs": blobs, "cfg": "text", "lr": np.float64(0.1), "sizes": (1, [2])}
    names = {b"numpy.core": b"numpy._core", b"numpy._core": b"numpy.core"}
    written = pickle.dumps(content, min(protocol, 3)).replace(names[core], core)  # no lengths yet
    if protocol > 3:
        written = pickle.dumps(content, protocol)
    (tmp_path / "a.pkl").write_bytes(written)
    checkpoint = read_checkpoint(tmp_path / "a.pkl")
    assert checkpoint["__author__"] == "Caffe2" and checkpoint["matching_heuristics"] is True
    assert list(checkpoint["model"]) == list(arrays)
    for name, array in arrays.items():
        tensor = checkpoint["model"][name]
        assert tensor.dtype == torch.from_numpy(array).dtype
        assert np.array_equal(tensor, array)


def test_wrappers(tmp_path):
    weights = {"module.a": torch.ones(2), "module.b.module.c": torch.zeros(1)}
    keys = ("model", "state_dict", "model_state", "model_state_dict", "state_dict_ema", None)
    for key in keys:
        content = weights if key is None else {key: weights, "optimizer": {"lr": 1}}
        checkpoint = read_checkpoint(write(content, tmp_path / "a.pth"))
        assert checkpoint["model"].keys() == {"a", "b.module.c"}
        # What Detectron2 has not written is not for its optimizer.
        assert ("optimizer" in checkpoint) == (key == "model")
        assert ("matching_heuristics" in checkpoint) == (key == "model_state")


def test_weights_further_down_are_named(tmp_path):
    weights = {"a": torch.ones(1)}
    content = {"student": weights, "teacher": weights, "epoch": 3}
    path = write(content, tmp_path / "a.pth")
    with pytest.raises(InputError, match="a.pth: .*no weights: .*'student', 'teacher' is not"):
        read_checkpoint(path)


def test_versions_of_modules_are_kept(tmp_path):
    """Some modules translate their weights unless these tell of a new version."""
    weights = nn.Sequential(nn.BatchNorm2d(2)).state_dict()
    checkpoint = read_checkpoint(write({"model": weights}, tmp_path / "a.pth"))
    assert checkpoint["model"]._metadata["0"] == {"version": 2}
