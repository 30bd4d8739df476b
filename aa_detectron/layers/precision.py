"""The precision of filters whose sums must not be rounded under autocast."""

import contextlib

import torch
from torch import Tensor

from .kernels.reference import is_autocast


def at_least_float32(x: Tensor) -> Tensor:
    """Returns a map in float32, or as it is in float64."""
    return x if x.dtype == torch.float64 else x.float()


def without_autocast(x: Tensor) -> contextlib.AbstractContextManager:
    """Switches autocast off for the device of a map."""
    if is_autocast(x):
        return torch.autocast(x.device.type, enabled=False)
    return contextlib.nullcontext()
