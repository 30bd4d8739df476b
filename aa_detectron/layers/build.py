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
"""Builds a filter from the number of channels and the stride."""


@dataclasses.dataclass(frozen=True)
class FilterOptions:
    """Options of a network's low-pass filters.

    Every field is a key of ``MODEL.ANTIALIAS`` and has the default of that key. The options from
    ``groups`` to ``init`` apply to "adaptive" only; see
    :class:`~aa_detectron.layers.AdaptiveBlurPool2d`.

    Args:
        name: "none", "blur" (fixed, LPF) or "adaptive"; in a config also the name of a registered
            filter.
        kernel_size: side of the filter; 2 to 7 for "blur", odd and at least 3 for "adaptive".
        groups: number of groups of channels, each with its own filter.
        adaptivity: "spatial_channel", "spatial", "channel" or "image".
        softmax: "group" or "all".
        norm: norm of the predictor: "BN", "SyncBN", "FrozenBN", "GN" or "".
        init: "binomial" or "kaiming".
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
        """Reads the options from ``MODEL.ANTIALIAS``; its other keys belong to the network."""
        node, names = cfg.MODEL.ANTIALIAS, [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: node[name.upper()] for name in names})

    def to_config(self) -> dict[str, int | str]:
        """Returns the options as {config key: value}."""
        return {config_key(name): value for name, value in dataclasses.asdict(self).items()}

    @property
    def lowpass(self) -> Lowpass | None:
        """The method :meth:`build`, or None for "none".

        Raises:
            InvalidOption: ``name`` is not "none", "blur" or "adaptive".
        """
        check_choice("name", self.name, ("none", *_BUILDERS))
        return None if self.name == "none" else self.build

    def build(self, channels: int, stride: int) -> nn.Module:
        """Builds a filter.

        Args:
            channels: number of channels of the feature map, C.
            stride: stride, s >= 1; 1 filters without downsampling.

        Returns:
            Module that maps (N, C, H, W) to (N, C, ceil(H / s), ceil(W / s)).

        Raises:
            InvalidOption: an option is illegal, or does not fit the number of channels.
        """
        check_choice("name", self.name, tuple(_BUILDERS))
        return _BUILDERS[self.name](self, channels, stride)


def config_key(option: str) -> str:
    """Returns the config key of an option of the filters."""
    return f"MODEL.ANTIALIAS.{option.upper()}"


def _blur(options: FilterOptions, channels: int, stride: int) -> BlurPool2d:
    return BlurPool2d(channels, options.kernel_size, stride, options.padding_mode)


def _adaptive(options: FilterOptions, channels: int, stride: int) -> AdaptiveBlurPool2d:
    arguments = dataclasses.asdict(options)
    del arguments["name"]
    return AdaptiveBlurPool2d(channels, stride=stride, **arguments)


_BUILDERS = {"blur": _blur, "adaptive": _adaptive}
