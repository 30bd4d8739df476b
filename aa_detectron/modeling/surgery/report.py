"""What is done to a model, and what is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from tabulate import tabulate
from torch import nn
from torch.nn.modules.utils import _pair

from aa_detectron.layers.adaptive_blur_pool import AdaptiveBlurPool2d
from aa_detectron.layers.blur_pool import FixedBlurPool2d
from aa_detectron.layers.frequency import FrequencyPool2d


@dataclasses.dataclass(frozen=True)
class Place:
    """A layer that downsamples."""

    name: str
    """Name of the layer in the model, or of the module whose ``forward`` calls a function."""
    layer: str
    """Description of the layer, such as "Conv2d 3x3, stride 2"."""
    note: str
    """Where the filter is, or why there is none."""
    filter_name: str = ""
    """Name of the filter in the model; empty if the layer is left alone."""
    channels: int = 0
    """Number of channels of the filtered feature map."""
    stride: int = 1
    """Stride of the filter."""


class Plan(NamedTuple):
    """What is done to a layer.

    Args:
        place: the layer.
        attach: function that gives the layer its filter; None if it is left alone.
        is_guarded: whether the filter is that of a conv, and may be dropped together with a norm.
    """

    place: Place
    attach: Callable[[nn.Module], None] | None = None
    is_guarded: bool = False


@dataclasses.dataclass(frozen=True)
class AntialiasReport:
    """The layers that downsample; ``print`` shows a table.

    These are convs, pools and other layers with a stride, modules that resize by a factor below 1,
    and calls of such functions where the model's code can be traced. Pools and resizing to a fixed
    size are left out.

    Args:
        places: layers, in the order of the model's modules.
        num_parameters: number of parameters of all filters.
    """

    places: tuple[Place, ...]
    num_parameters: int

    @property
    def filtered(self) -> tuple[Place, ...]:
        """Layers that have a filter."""
        return tuple(place for place in self.places if place.filter_name)

    @property
    def left_alone(self) -> tuple[Place, ...]:
        """Layers without a filter; ``note`` says why."""
        return tuple(place for place in self.places if not place.filter_name)

    def __str__(self) -> str:
        header = ("layer", "downsampling", "filter", "channels", "note")
        rows = [
            (place.name, place.layer, place.filter_name or "none", place.channels or "", place.note)
            for place in self.places
        ]
        total = f"{len(self.filtered)} filters with {self.num_parameters:,} parameters"
        return f"{tabulate(rows, header)}\n{total}; {len(self.left_alone)} layers left alone"


def describe(layer: nn.Module) -> str:
    """Describes a layer with a kernel and a stride, such as "Conv2d 3x3, stride 2"."""
    kernel, strides = _pair(layer.kernel_size), _pair(_stride(layer))
    stride = strides[0] if len(set(strides)) == 1 else strides
    return f"{type(layer).__name__} {'x'.join(map(str, kernel))}, stride {stride}"


def is_lowpass(module: nn.Module) -> bool:
    """Tells whether a module is one of this package's filters."""
    return isinstance(module, FixedBlurPool2d | AdaptiveBlurPool2d | FrequencyPool2d)


def is_strided(layer: Any) -> bool:
    """Tells whether a layer has a stride above 1."""
    stride = _stride(layer)
    return max(_pair(stride)) > 1 if isinstance(stride, int | tuple | list) else False


def _stride(layer: nn.Module) -> Any:
    stride = getattr(layer, "stride", 1)
    return getattr(layer, "kernel_size", 1) if stride is None else stride  # as in torch's pools
