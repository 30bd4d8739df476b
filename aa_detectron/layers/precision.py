"""The precision of sums, which must not be rounded under autocast."""

import contextlib

import torch
from torch import Tensor


def accumulation_dtype(x: Tensor, weights: Tensor) -> torch.dtype:
    """Returns the dtype of the sums: float32, or float64 if one of the two tensors is float64."""
    return torch.promote_types(torch.promote_types(x.dtype, weights.dtype), torch.float32)


def is_autocast(x: Tensor) -> bool:
    """Returns whether autocast is on for the device of a tensor."""
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)  # which rejects "meta"


def at_least_float32(x: Tensor) -> Tensor:
    """Returns a map in float32, or as it is in float64."""
    return x if x.dtype == torch.float64 else x.float()


def without_autocast(x: Tensor) -> contextlib.AbstractContextManager:
    """Switches autocast off for the device of a map."""
    if is_autocast(x):
        return torch.autocast(x.device.type, enabled=False)
    return contextlib.nullcontext()
