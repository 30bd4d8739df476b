"""The options of a low-pass filter, and the filter that they describe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn

from aa_detectron.errors import check_choice

from .adaptive_blur_pool import AdaptiveBlurPool2d
from .blur_pool import BlurPool2d

if TYPE_CHECKING:
    from detectron2.config import CfgNode

Lowpass = Callable[[int, int], nn.Module]
"""Makes a filter: called with the number of channels and the stride."""


@dataclasses.dataclass(frozen=True)
class FilterOptions:
    """A network's low-pass filters; every field is a key of ``MODEL.ANTIALIAS``, with its default.

    Args:
        name: "none", "blur" (fixed, LPF), "adaptive"; in a config also a registered filter.
        kernel_size: side of the filter; 2 to 7 for "blur", odd and at least 3 for "adaptive".
        groups, adaptivity, softmax, norm, init: arguments of
            :class:`~aa_detectron.layers.AdaptiveBlurPool2d`, for "adaptive" only.
        padding_mode: "reflect", "replicate" or "zeros".
    """

    name: str = "adaptive"
    kernel_size: int = 3
    groups: int = 8
    adaptivity: str = "spatial_channel"
    softmax: str = "group"
    norm: str = "BN"
    init: str = "binomial"
    padding_mode: str = "reflect"

    @classmethod
    def from_config(cls, cfg: CfgNode) -> FilterOptions:
        """The options of ``MODEL.ANTIALIAS``; its other keys belong to the network."""
        node, names = cfg.MODEL.ANTIALIAS, [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: node[name.upper()] for name in names})

    def to_config(self) -> dict[str, int | str]:
        """{key: value} of a config with these options."""
        return {config_key(name): value for name, value in dataclasses.asdict(self).items()}

    @property
    def lowpass(self) -> Lowpass | None:
        """:meth:`build`, or None for "none".

        Raises:
            InvalidOption: ``name`` is another one.
        """
        check_choice("name", self.name, ("none", *_BUILDERS))
        return None if self.name == "none" else self.build

    def build(self, channels: int, stride: int) -> nn.Module:
        """The filter for a map.

        Args:
            channels: C of the map.
            stride: 1 filters without downsampling.

        Returns:
            A module that maps (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)).

        Raises:
            InvalidOption: naming the argument that is illegal, for such a map or at all.
        """
        check_choice("name", self.name, tuple(_BUILDERS))
        return _BUILDERS[self.name](self, channels, stride)


def config_key(option: str) -> str:
    """The config key of a filter's option."""
    return f"MODEL.ANTIALIAS.{option.upper()}"


def _blur(options: FilterOptions, channels: int, stride: int) -> BlurPool2d:
    return BlurPool2d(channels, options.kernel_size, stride, options.padding_mode)


def _adaptive(options: FilterOptions, channels: int, stride: int) -> AdaptiveBlurPool2d:
    arguments = dataclasses.asdict(options)
    del arguments["name"]
    return AdaptiveBlurPool2d(channels, stride=stride, **arguments)


_BUILDERS = {"blur": _blur, "adaptive": _adaptive}
