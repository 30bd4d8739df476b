"""Checks of the tensors in a file that hold for every network."""

import numpy as np
import torch
from torch import Tensor

_FLOATING = {"weight", "bias", "running_mean", "running_var"}
_SLACK = 2**26
"""Bytes that the tensors may need in addition to four times the size of the file."""


def to_tensors(weights: dict) -> None:
    """Replaces arrays by tensors, in place: a state_dict also has the versions of the modules.

    Args:
        weights: tensors or arrays by name.

    Raises:
        TypeError: a value is neither a tensor nor an array of numbers, or a name is not a string.
        ValueError: a name has characters that cannot be printed.
    """
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, Tensor | np.ndarray):
            raise TypeError(f"{name!r} is not a tensor, but of type {type(value).__name__}")
        if not name.isprintable():
            raise ValueError(f"{name!r} is not the name of a weight")
        weights[name] = _to_tensor(value)


def check_values(weights: dict[str, Tensor], file_size: int) -> None:
    """Rejects tensors that no trained network has.

    Args:
        weights: tensors by name.
        file_size: size of the file in bytes. Tensors that need far more memory repeat a few values.

    Raises:
        ValueError: a tensor has an unexpected type or value; the message names it.
    """
    for name, weight in weights.items():
        if oddity := _odd_type(name, weight):
            raise ValueError(f"{name} {oddity}")
    needed = sum(weight.numel() * weight.element_size() for weight in weights.values())
    if needed > 4 * file_size + _SLACK:
        largest = max(weights, key=lambda name: weights[name].numel())
        raise ValueError(
            f"{largest} has {weights[largest].numel()} values, more than the file can hold"
        )
    for name, weight in weights.items():
        if oddity := _odd_values(name, weight):
            raise ValueError(f"{name} {oddity}")


def _to_tensor(value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    native = value.dtype.newbyteorder("=")
    return torch.from_numpy(np.array(value, dtype=native, order="C"))


def _odd_type(name: str, weight: Tensor) -> str | None:
    if weight.layout is not torch.strided or weight.is_quantized or weight.is_nested:
        return "is sparse, quantized or nested, but must be an ordinary tensor"
    if weight.is_meta:
        return "has a shape, but no values"
    if weight.is_complex():
        return f"is {weight.dtype}, but must be real"
    if not weight.is_floating_point() and name.rsplit(".", 1)[-1] in _FLOATING:
        return f"is {weight.dtype}, but must be a floating point type"
    return None


def _odd_values(name: str, weight: Tensor) -> str | None:
    if not weight.is_floating_point():
        return None
    values = weight.float()  # the type in which they are used
    if not values.isfinite().all():
        return "has values that are not finite"
    if name.endswith("running_var") and (values < 0).any():
        return "has negative variances"
    return None
