"""Reads checkpoint files without running any code in them: tensors, arrays and containers only."""

import os
import re
import warnings
import zipfile
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from aa_detectron.errors import InputError

from .pickled import SAFE_GLOBALS, ArrayUnpickler, needs
from .values import check_values, to_tensors

_CONTAINERS = ("model", "state_dict", "model_state", "model_state_dict", "state_dict_ema")
"""Keys under which training scripts save weights; the first that a file has counts."""


def read_checkpoint(path: str) -> dict:
    """Reads ``.safetensors``, a ``.pkl`` of arrays (Detectron2, Caffe2), or a file of torch.save.

    No code in the file is run, and its checksums are verified.

    Args:
        path: path of a local file.

    Returns:
        {"model": {name: tensor on the CPU}}; for Detectron2's files also all other contents.
        Files of Caffe2 are marked as in Detectron2 ("__author__", "matching_heuristics").

    Raises:
        InputError: the file cannot be read, is damaged, needs more than tensors, contains no
            weights, or contains weights that no network can have (not finite, complex, sparse,
            without values).
    """
    path = str(path)
    try:
        checkpoint = _unwrap(_read(path), path)
        weights = checkpoint["model"]
        to_tensors(weights)
        if all(name.startswith("module.") for name in weights):  # from DistributedDataParallel
            consume_prefix_in_state_dict_if_present(weights, "module.")
        check_values(weights, os.path.getsize(path))
    except InputError:
        raise
    except Exception as error:  # a broken pickle can raise any of them
        reason = _reason(error)
        raise InputError(f"{path}: cannot be loaded as a checkpoint ({reason})") from error
    return checkpoint


def _read(path: str) -> Any:
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe could be read forever
        raise InputError(f"{path}: cannot be loaded as a checkpoint (not a file)")
    if path.endswith(".safetensors"):
        return load_file(path)
    if path.endswith(".pkl"):
        with open(path, "rb") as file:
            return ArrayUnpickler(file, encoding="latin1").load()
    if zipfile.is_zipfile(path):
        _check_archive(path)
    with warnings.catch_warnings(), torch.serialization.safe_globals(SAFE_GLOBALS):
        warnings.simplefilter("ignore")  # about unusual protocols; whatever matters raises an error
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_archive(path: str) -> None:
    """Verifies the checksums and sizes that torch.load ignores."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.filename.endswith("/constants.pkl") for entry in entries):
            raise ValueError("a TorchScript program, not a dict of tensors")
        compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if compressed or sum(entry.file_size for entry in entries) > os.path.getsize(path):
            raise ValueError("compressed, which torch.save never does")
        checked = any(entry.CRC for entry in entries)  # torch.save can leave them out
        if checked and (broken := archive.testzip()):
            raise ValueError(f"damaged: the checksum of {broken} does not match")


def _unwrap(loaded: Any, path: str) -> dict:
    """Returns the weights as "model", without the other contents of other libraries' files."""
    if isinstance(loaded, dict):
        key = next((key for key in _CONTAINERS if key in loaded), None)
        if key == "model":
            checkpoint = dict(loaded)
        elif key is not None:
            checkpoint = {"model": loaded[key]}
        elif path.endswith(".pkl"):
            checkpoint = _of_caffe2(loaded)
        else:
            checkpoint = {"model": loaded}
        if key == "model_state":  # pycls
            checkpoint["matching_heuristics"] = True
        if isinstance(checkpoint["model"], dict) and checkpoint["model"]:
            _check_flat(checkpoint["model"], path)
            return checkpoint
    raise InputError(f"{path}: holds no weights (a dict of tensors)")


def _check_flat(weights: dict, path: str) -> None:
    dicts = [repr(key) for key, value in weights.items() if isinstance(value, dict)]
    if dicts:
        raise InputError(
            f"{path}: holds no weights: what is under {', '.join(dicts)} is not a tensor, but a "
            "dict; save the one with the weights by itself"
        )


def _of_caffe2(loaded: dict) -> dict:
    blobs = loaded.get("blobs", loaded)
    if isinstance(blobs, dict):
        blobs = {k: v for k, v in blobs.items() if not str(k).endswith("_momentum")}
    return {"model": blobs, "__author__": "Caffe2", "matching_heuristics": True}


def _reason(error: Exception) -> str:
    """Returns the reason in one line.

    The message of torch.load says what matters further down, and how to load the file anyway.
    """
    text = str(error).strip()
    unsupported = re.search(r"(?i)unsupported (?:global: )?(?:global|class) (\S+)", text)
    if unsupported:
        return needs(unsupported[1])
    if text.startswith("Weights only load failed"):
        return "not written by torch.save, or damaged"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text.splitlines()[0] if text else type(error).__name__
