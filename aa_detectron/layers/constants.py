"""Buffers that follow from a formula, and are right on every device."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class ModuleWithConstants(nn.Module):
    """Keeps buffers out of state_dicts whose values follow from a formula.

    No checkpoint could fill such a buffer after a construction on the meta device. It therefore
    has its values from the start, on the CPU, and gets them again whenever the module is moved:
    ``to_empty`` leaves garbage.
    """

    def register_constant(self, name: str, formula: Callable[[], Tensor]) -> None:
        """Registers a buffer; ``formula`` makes its values on the default device."""
        device = _device_for_values(torch.empty(0).device)
        self._formulas = {**getattr(self, "_formulas", {}), name: formula}
        self.register_buffer(name, _values(formula).to(device), persistent=False)

    def _apply(self, fn, recurse: bool = True):
        super()._apply(fn, recurse)
        for name, formula in self._formulas.items():
            moved = getattr(self, name)
            device = _device_for_values(moved.device)
            setattr(self, name, _values(formula).to(device, moved.dtype))
        return self


def constant_like(constant: Tensor, other: Tensor) -> Tensor:
    """The constant in the dtype and on the device of another tensor.

    They differ on the meta device only, and for weights that ``load_state_dict`` has assigned.
    """
    # Asked first, since a conversion in a trace would pin the trace to the device.
    if constant.device == other.device and constant.dtype == other.dtype:
        return constant
    return constant.to(other.device, other.dtype)


def _device_for_values(device: torch.device) -> torch.device:
    return torch.device("cpu") if device.type == "meta" else device


def _values(formula: Callable[[], Tensor]) -> Tensor:
    with torch.device("cpu"):
        return formula()
