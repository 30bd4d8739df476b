"""Files that are broken or malicious, through the checkpointer and tools/convert_weights.py."""

import os
import pickle
import runpy
import struct
import sys
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from helpers import ROOT
from torch import nn

from aa_detectron.checkpoint import read_checkpoint
from aa_detectron.engine import AACheckpointer
from aa_detectron.errors import InputError
from aa_detectron.models import aa_resnet18

TOOL = str(ROOT / "tools" / "convert_weights.py")


@pytest.fixture(scope="module")
def good():
    return torchvision.models.resnet18(num_classes=3).state_dict()


def changed(name, change):
    def make(path, good):
        torch.save({**good, name: change(good[name])}, path)

    return make


def every(change):
    def make(path, good):
        weights = {k: change(v) if v.is_floating_point() else v for k, v in good.items()}
        torch.save(weights, path)

    return make


def with_value(value):
    def change(weight):
        weight = weight.clone()
        weight.flatten()[-1] = value
        return weight

    return change


def quantized(weight):
    return torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)


def content(value):
    return lambda path, good: torch.save(value, path)


def raw(data):
    return lambda path, good: path.write_bytes(data)


def bytes_changed(change):
    def make(path, good):
        torch.save(good, path)
        path.write_bytes(change(path.read_bytes()))

    return make


def flipped(data):
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def rewritten(compression, change=lambda name, data: data):
    def make(path, good):
        torch.save(good, path)
        with zipfile.ZipFile(path) as old:
            entries = {name: change(name, old.read(name)) for name in old.namelist()}
        with zipfile.ZipFile(path, "w", compression) as new:
            for name, data in entries.items():
                new.writestr(name, data)

    return make


def bomb(name, data):
    return bytes(2**28) if name.endswith("/data/0") else data


def script(path, good):
    torch.jit.script(nn.Linear(2, 2)).save(path)


def pickled(value, protocol=2):
    return lambda path, good: path.write_bytes(pickle.dumps(value, protocol))


class Call:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def tensors(change):
    def make(path, good):
        data = safetensors.torch.save(good)
        path.write_bytes(change(data))

    return make


def header(text):
    return lambda data: struct.pack("<Q", len(text)) + text


BAD = {
    "NaN": (".pth", changed("layer2.0.conv1.weight", with_value(float("nan"))), "not finite"),
    "inf": (".pth", changed("bn1.bias", with_value(float("inf"))), "not finite"),
    "inf in float32": (".pth", changed("fc.bias", lambda w: w.double() + 1e300), "not finite"),
    "negative variance": (".pth", changed("bn1.running_var", with_value(-1.0)), "negative"),
    "int8": (".pth", every(lambda w: (w * 10).to(torch.int8)), "torch.int8"),
    "one of int64": (".pth", changed("fc.weight", lambda w: w.long()), "torch.int64"),
    "bool": (".pth", changed("bn1.weight", lambda w: w > 0), "torch.bool"),
    "complex": (".pth", changed("conv1.weight", lambda w: w + 0j), "complex"),
    "sparse": (".pth", changed("fc.weight", lambda w: w.to_sparse()), "sparse"),
    "quantized": (".pth", changed("fc.weight", quantized), "quantized"),
    "meta": (".pth", changed("fc.weight", lambda w: w.to("meta")), "no values"),
    "expanded": (".pth", changed("fc.weight", lambda w: w[:1].expand(10**9, 512)), "more than the"),
    "as_strided": (
        ".pth",
        changed("fc.bias", lambda w: w[:1].as_strided((10**6, 10**6), (0, 0))),
        "more than the",
    ),
    "empty file": (".pth", raw(b""), "cannot be loaded"),
    "empty dict": (".pth", content({}), "holds no weights"),
    "empty model": (".pth", content({"model": {}}), "holds no weights"),
    "list": (".pth", content([torch.zeros(1)]), "holds no weights"),
    "dict of dicts": (".pth", content({"a": {"b": torch.zeros(1)}}), "is not a tensor"),
    "lists in a dict": (".pth", content({"a": [1.0, 2.0]}), "is not a tensor"),
    "None": (".pth", content(None), "holds no weights"),
    "name that is no text": (".pth", content({7: torch.zeros(1)}), "7 is not a tensor"),
    "name with escapes": (
        ".pth",
        content({"a\x1b[31m": torch.zeros(1)}),
        "not the name of a weight",
    ),
    "flipped bit": (".pth", bytes_changed(flipped), "checksum of"),
    "truncated": (".pth", bytes_changed(lambda data: data[:-500]), "cannot be loaded"),
    "wrong magic": (".pth", bytes_changed(lambda data: b"QK" + data[2:]), "cannot be loaded"),
    "zip bomb": (".pth", rewritten(zipfile.ZIP_DEFLATED, bomb), "compressed"),
    "zip without weights": (".pth", rewritten(zipfile.ZIP_STORED, lambda n, d: b""), "cannot be"),
    "TorchScript": (".pth", script, "TorchScript"),
    "pkl empty": (".pkl", pickled({}), "holds no weights"),
    "pkl only momentum": (".pkl", pickled({"a_momentum": np.zeros(1)}), "holds no weights"),
    "pkl odd blobs": (".pkl", pickled({"blobs": 3}), "holds no weights"),
    "pkl NaN": (".pkl", pickled({"a": np.full(3, np.nan)}), "not finite"),
    "pkl text array": (".pkl", pickled({"a": np.array(["x"])}), "cannot be loaded"),
    "pkl objects": (".pkl", pickled({"a": np.array([{}, {}])}), "cannot be loaded"),
    "pkl sized bytes": (".pkl", pickled({"a": Call(bytes, 2**40)}), "cannot be loaded"),
    "pkl sized array": (".pkl", pickled({"a": Call(np.ndarray, (2**40,))}), "cannot be loaded"),
    "pkl memo": (".pkl", raw(b"\x80\x02}r\xff\xff\xff\x7f."), "holds no weights"),
    "pkl is a zip": (".pkl", lambda path, good: torch.save(good, str(path)), "cannot be loaded"),
    "safetensors empty": (".safetensors", raw(b""), "cannot be loaded"),
    "safetensors short": (".safetensors", tensors(lambda data: data[:-9]), "cannot be loaded"),
    "safetensors header": (".safetensors", tensors(header(b"{]")), "cannot be loaded"),
    "safetensors no tensors": (".safetensors", tensors(header(b"{}")), "holds no weights"),
    "safetensors length": (".safetensors", raw(b"\xff" * 16), "cannot be loaded"),
    "safetensors NaN": (
        ".safetensors",
        lambda path, good: safetensors.torch.save_file({"a": torch.tensor([np.nan])}, path),
        "not finite",
    ),
    "folder": (".pth", lambda path, good: path.mkdir(), "cannot be loaded"),
    "pipe": (".pth", lambda path, good: os.mkfifo(path), "cannot be loaded"),
}


def convert(path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [TOOL, str(path), str(path.with_name("out.pth"))])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(TOOL, run_name="__main__")
    assert not path.with_name("out.pth").exists()
    return ended.value.code.removeprefix("error: ")


@pytest.mark.parametrize("which", BAD)
def test_rejected_in_one_line(which, good, tmp_path, monkeypatch):
    suffix, make, reason = BAD[which]
    path = tmp_path / f"in{suffix}"
    make(path, good)
    with pytest.raises(InputError) as caught:
        AACheckpointer(nn.Linear(1, 1)).load(str(path))
    for line in (str(caught.value), convert(path, monkeypatch)):
        assert line.startswith(f"{path}: ") and reason in line
        assert line.isprintable() and len(line) < 600


def test_safetensors(good, tmp_path):
    path = str(tmp_path / "resnet18.safetensors")
    safetensors.torch.save_file(good, path)
    for name, weight in read_checkpoint(path)["model"].items():
        assert torch.equal(weight, good[name])
    network = aa_resnet18(filter="none", num_classes=3)
    AACheckpointer(network, strict=True).load(path)
    assert torch.equal(network.linear.weight, good["fc.weight"])
    with pytest.raises(InputError, match="a.safetensors: .*No such file"):
        read_checkpoint(str(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("number", [np.float64(71.3), np.float32(2), np.int64(7), np.bool_(True)])
def test_numbers_and_arrays_of_numpy_beside_weights(number, legacy, tmp_path):
    path = tmp_path / "best.pth"
    extra = {"best": number, "curve": np.arange(6.0).reshape(2, 3)}
    weights = {"model": {"a": torch.ones(2)}, **extra}
    torch.save(weights, path, _use_new_zipfile_serialization=not legacy)
    found = read_checkpoint(path)
    assert found["best"] == number and np.array_equal(found["curve"], extra["curve"])


def test_odd_but_sound_arrays(tmp_path):
    """Negative strides, another byte order, columns first."""
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    arrays = {"back": array[::-1, ::-1], "big": array.astype(">f4"), "columns": array.T}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(arrays, 4))
    for name, tensor in read_checkpoint(tmp_path / "a.pkl")["model"].items():
        assert np.array_equal(tensor.numpy(), arrays[name])


def test_without_checksums(tmp_path):
    """torch.save can be told to leave them out."""
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(9)}, tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_checkpoint(tmp_path / "a.pth")["model"]["a"].sum() == 9
