"""Buffers that follow from a formula and are correct on every device."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class ModuleWithConstants(nn.Module):
    """A module with buffers that follow from a formula and are not in its state_dict.

    No checkpoint can fill such a buffer after the module was built on the meta device. The buffer
    therefore has its values from the start, on the CPU. It is computed again whenever the module
    is moved, since ``to_empty`` leaves arbitrary values. A class can keep it in float32 in modules
    of lower precision.
    """

    _keeps_float32 = False
    _formulas: dict[str, Callable[[], Tensor]]

    def register_constant(self, name: str, formula: Callable[[], Tensor]) -> None:
        """Registers a buffer.

        Args:
            name: name of the buffer.
            formula: function that returns the values, on torch's default device.
        """
        device = _device_for_values(torch.empty(0).device)
        self._formulas = {**getattr(self, "_formulas", {}), name: formula}
        self.register_buffer(name, _values(formula).to(device), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ModuleWithConstants":
        super()._apply(fn, recurse)
        for name, formula in self._formulas.items():
            moved = getattr(self, name)
            device, dtype = _device_for_values(moved.device), moved.dtype
            if self._keeps_float32:
                dtype = torch.promote_types(dtype, torch.float32)
            setattr(self, name, _values(formula).to(device, dtype))
        return self


def constant_like(constant: Tensor, other: Tensor) -> Tensor:
    """Returns the constant in the dtype and on the device of another tensor.

    The two differ only on the meta device, and for weights that ``load_state_dict`` has assigned.
    """
    # A conversion would tie a trace to the device, so it is left out where it is not needed.
    if constant.device == other.device and constant.dtype == other.dtype:
        return constant
    return constant.to(other.device, other.dtype)


def _device_for_values(device: torch.device) -> torch.device:
    return torch.device("cpu") if device.type == "meta" else device


def _values(formula: Callable[[], Tensor]) -> Tensor:
    with torch.device("cpu"):
        return formula()
