"""What the tensors of a file may be, whatever network they are for."""

import numpy as np
import torch
from torch import Tensor

_FLOATING = {"weight", "bias", "running_mean", "running_var"}
_SLACK = 2**26
"""Bytes that small files' tensors may need beyond a few times the file's size."""


def to_tensors(weights: dict) -> None:
    """Replaces arrays by tensors, in place, which keeps the versions of the modules.

    Raises:
        TypeError, ValueError: something else than a dense tensor, or a name that is no text.
    """
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, Tensor | np.ndarray):
            raise TypeError(f"{name!r} is no tensor, but of type {type(value).__name__}")
        if not name.isprintable():
            raise ValueError(f"{name!r} is no name of a weight")
        weights[name] = _to_tensor(value)


def check_values(weights: dict[str, Tensor], file_size: int) -> None:
    """Rejects tensors that no trained network has.

    Args:
        weights: values by name.
        file_size: size of the file in bytes. Tensors that repeat a few values could need more.

    Raises:
        ValueError: naming the weight, and what is odd about it.
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
        return "is sparse, quantized or nested, and has to be an ordinary tensor"
    if weight.is_meta:
        return "has a shape, but no values"
    if weight.is_complex():
        return f"is of {weight.dtype}, and has to be real"
    if not weight.is_floating_point() and name.rsplit(".", 1)[-1] in _FLOATING:
        return f"is of {weight.dtype}, and has to be of a floating point type"
    return None


def _odd_values(name: str, weight: Tensor) -> str | None:
    if not weight.is_floating_point():
        return None
    values = weight.float()  # in which they are used
    if not values.isfinite().all():
        return "has values that are not finite"
    if name.endswith("running_var") and (values < 0).any():
        return "has negative variances"
    return None
