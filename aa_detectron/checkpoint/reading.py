"""Checkpoint files, read without running what they hold: tensors, arrays and containers only."""

import codecs
import collections
import pickle
import re
import warnings

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from aa_detectron.errors import InputError

_rebuild_array = np.empty(0).__reduce__()[0]
_array_from_buffer = np.empty(1).__reduce_ex__(5)[0]
_number = np.float32(0).__reduce__()[0]

_ALLOWED = {
    "__builtin__.bytes": bytes,  # this and the next for bytes in protocols below 3
    "_codecs.encode": codecs.encode,
    "collections.OrderedDict": collections.OrderedDict,
    "numpy.dtype": np.dtype,
    "numpy.ndarray": np.ndarray,
}
for _core in ("numpy.core", "numpy._core"):  # the same in NumPy 1 and 2
    _ALLOWED[f"{_core}.multiarray._reconstruct"] = _rebuild_array
    _ALLOWED[f"{_core}.multiarray.scalar"] = _number
    _ALLOWED[f"{_core}.numeric._frombuffer"] = _array_from_buffer


class _ArrayUnpickler(pickle.Unpickler):
    """Refuses every global but those that arrays are made of."""

    def find_class(self, module: str, name: str):
        try:
            return _ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(_needs(f"{module}.{name}")) from None


def read_checkpoint(path: str) -> dict:
    """Reads a ``.pkl`` of arrays (Detectron2's and Caffe2's), or what torch.save has written.

    No code of the file is run, whatever it holds.

    Args:
        path: of a local file.

    Returns:
        {"model": {name: tensor on the CPU}}, for Detectron2's files with all else that they hold.
        Caffe2's files are marked as Detectron2 does it ("__author__", "matching_heuristics").

    Raises:
        InputError: the file cannot be read, needs more than tensors, or holds no weights.
    """
    path = str(path)
    if path.endswith(".safetensors"):
        raise InputError(f"{path}: safetensors are not read, write them again with torch.save")
    try:
        loaded = _read_pickle(path) if path.endswith(".pkl") else _read_torch(path)
        checkpoint = _unwrap(loaded, path)
        weights = checkpoint["model"]
        for name, value in weights.items():  # in place: it keeps the versions of the modules
            weights[name] = _to_tensor(name, value)
        if all(name.startswith("module.") for name in weights):  # of DistributedDataParallel
            consume_prefix_in_state_dict_if_present(weights, "module.")
    except InputError:
        raise
    except Exception as error:  # a broken pickle can end in any of them
        reason = _reason(error)
        raise InputError(f"{path}: cannot be loaded as a checkpoint ({reason})") from error
    return checkpoint


def _read_pickle(path: str):
    with open(path, "rb") as file:
        return _ArrayUnpickler(file, encoding="latin1").load()


def _read_torch(path: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unusual protocols; what matters becomes an error
        return torch.load(path, map_location="cpu", weights_only=True)


def _unwrap(loaded, path: str) -> dict:
    """The weights as "model"; of other libraries' files nothing but them."""
    if isinstance(loaded, dict):
        if "model" in loaded:
            checkpoint = dict(loaded)
        elif "state_dict" in loaded:
            checkpoint = {"model": loaded["state_dict"]}
        elif "model_state" in loaded:  # pycls
            checkpoint = {"model": loaded["model_state"], "matching_heuristics": True}
        elif path.endswith(".pkl"):
            blobs = loaded.get("blobs", loaded)
            kept = {k: v for k, v in blobs.items() if not str(k).endswith("_momentum")}
            checkpoint = {"model": kept, "__author__": "Caffe2", "matching_heuristics": True}
        else:
            checkpoint = {"model": loaded}
        if isinstance(checkpoint["model"], dict):
            return checkpoint
    raise InputError(f"{path}: holds no weights (a dict of tensors)")


def _to_tensor(name: str, value) -> Tensor:
    if not isinstance(name, str) or not isinstance(value, Tensor | np.ndarray):
        raise TypeError(f"{name!r} is no tensor, but of type {type(value).__name__}")
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value.detach()


def _needs(name: str) -> str:
    return f"needs {name}, but only tensors, arrays and containers are read"


def _reason(error: Exception) -> str:
    """In one line; torch.load says what matters further down, and how to load the file even so."""
    text = str(error).strip()
    unsupported = re.search(r"(?i)unsupported (?:global: )?(?:global|class) (\S+)", text)
    if unsupported:
        return _needs(unsupported[1])
    if text.startswith("Weights only load failed"):
        return "not written by torch.save, or damaged"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text.splitlines()[0] if text else type(error).__name__
