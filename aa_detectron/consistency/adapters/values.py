"""Conversion of values of any library to NumPy arrays, and their description in words."""

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from aa_detectron.errors import InputError

SHOWN = 12
"""Maximum number of keys or attributes that an error names."""

LARGEST = 2**31
"""Limit of positions and sizes in pixels."""


def to_array(value: Any, name: str) -> np.ndarray:
    """Converts a tensor or nested list to an array of numbers on the CPU.

    Args:
        value: tensor of any library that NumPy can convert; PyTorch's may be on any device.
        name: name of the value, for the message.

    Raises:
        InputError: a value that is not an array of numbers.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # NumPy lacks this type
            value = value.float()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        array = None
    if array is None or array.dtype.kind not in "biuf":
        raise InputError(f"{name}: found {describe(value)}, but must be an array of numbers")
    return array


def to_integers(value: Any, shape: tuple[int, ...], name: str, legal: str) -> Any:
    """Converts whole numbers of any type to nested tuples of Python integers.

    Args:
        value: numbers, such as a NumPy array, or tuples of whole floats.
        shape: shape that the numbers must have.
        name: name of the value, for the message.
        legal: form of the value, for the message.

    Raises:
        InputError: another shape, or a number that is not whole.
    """
    numbers = to_array(value, name)
    is_whole = numbers.shape == shape and (np.rint(numbers) == numbers).all()
    if not is_whole or np.abs(numbers).max() >= LARGEST:
        raise InputError(f"{name}: found {describe(value)}, but must be {legal} in whole pixels")
    return _to_tuple(numbers.astype(np.int64).tolist())


def _to_tuple(value: Any) -> Any:
    return tuple(map(_to_tuple, value)) if isinstance(value, list) else value


def describe(value: Any) -> str:
    """Type of a value with its keys, its shape and dtype, or its public attributes."""
    kind = type(value).__name__
    if isinstance(value, Mapping):
        return f"{kind} with keys {_listed(map(repr, value))}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{kind} of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, list | tuple):
        return (
            f"{kind} of {_listed(map(describe, value[: SHOWN + 1]))}" if value else f"empty {kind}"
        )
    if value is None or isinstance(value, str | bytes | bool | int | float):
        return reprlib.repr(value)
    return f"{kind} with attributes {_listed(n for n in dir(value) if not n.startswith('_'))}"


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    shown = ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
    return shown or "none"
