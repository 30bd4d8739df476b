"""The options of a low-pass filter, and the filter that they describe."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from aa_detectron.errors import check_choice

from .adaptive_blur_pool import AdaptiveBlurPool2d
from .blur_pool import BlurPool2d
from .frequency import FrequencyPool2d
from .gaussian import GaussianBlurPool2d
from .per_place import names_per_place

if TYPE_CHECKING:
    from detectron2.config import CfgNode

Lowpass = Callable[[int, int], nn.Module]
"""Builds a filter from the number of channels and the stride."""


class Kind(NamedTuple):
    """A kind of filter."""

    layer: Callable[..., nn.Module]
    """Builds it from the number of channels, the stride and its options."""
    options: tuple[str, ...]
    """Fields of :class:`FilterOptions` that it reads."""


_OF_PASA = (
    "kernel_size",
    "groups",
    "adaptivity",
    "norm",
    "padding_mode",
    "predictor_groups",
    "predictor_smooth",
    "predictor_kernel",
)
PASA: dict[str, Any] = {"softmax": "all", "init": "kaiming"}
"""Options that make "adaptive" the published filter, "pasa"."""
KINDS = {
    "blur": Kind(BlurPool2d, ("kernel_size", "padding_mode")),
    "adaptive": Kind(AdaptiveBlurPool2d, (*_OF_PASA, "softmax", "init")),
    "pasa": Kind(functools.partial(AdaptiveBlurPool2d, **PASA), _OF_PASA),
    "gaussian": Kind(GaussianBlurPool2d, ("kernel_size", "sigma", "padding_mode")),
    "wavelet": Kind(functools.partial(BlurPool2d, kernel_size=2), ("padding_mode",)),
    "flc": Kind(FrequencyPool2d, ()),
    "asap": Kind(functools.partial(FrequencyPool2d, window="hamming"), ()),
}
"""{name of a filter: kind}."""


@dataclasses.dataclass(frozen=True)
class FilterOptions:
    """Options of a network's low-pass filters.

    Every field is a key of ``MODEL.ANTIALIAS`` and has the default of that key. A filter ignores
    the options that are not its own, see ``KINDS``. Those from ``groups`` to ``init`` and
    ``predictor_...`` are for "adaptive" and "pasa"; see
    :class:`~aa_detectron.layers.AdaptiveBlurPool2d`.

    Args:
        name: "none"; "blur" (fixed, LPF); "adaptive"; "pasa" (adaptive as published: softmax "all",
            init "kaiming"); "gaussian"; "wavelet" (Haar low band: the mean of 2 x 2 pixels); "flc"
            or "asap" (cut of the spectrum); in a config also the name of a registered filter. Four
            names with commas between them are for stem, res3, res4 and res5.
        kernel_size: side of the filter; 2 to 7 for "blur", at least 2 for "gaussian", odd and at
            least 3 for "adaptive" and "pasa".
        groups: number of groups of channels, each with its own filter.
        adaptivity: "spatial_channel", "spatial", "channel" or "image".
        softmax: "group" or "all".
        norm: norm of the predictor: "BN", "SyncBN", "FrozenBN", "GN" or "".
        init: "binomial" or "kaiming".
        padding_mode: "reflect", "replicate" or "zeros"; "flc" and "asap" take the map as periodic.
        predictor_groups: number of groups of the predictor's conv.
        predictor_smooth: whether the predictor sees the map behind a binomial blur.
        predictor_kernel: side of the predictor's conv; 0 for ``kernel_size``.
        sigma: standard deviation of "gaussian" in pixels.
    """

    name: str = "adaptive"
    kernel_size: int = 3
    groups: int = 8
    adaptivity: str = "spatial_channel"
    softmax: str = "group"
    norm: str = "BN"
    init: str = "binomial"
    padding_mode: str = "reflect"
    predictor_groups: int = 1
    predictor_smooth: bool = False
    predictor_kernel: int = 0
    sigma: float = 1.0

    def fitting(self, channels: int) -> FilterOptions:
        """Returns options whose ``groups`` divide the number of channels.

        These are the largest number of groups up to ``groups`` that does. The predictor then has as
        many groups as this number and ``predictor_groups`` have in common.
        """
        groups = next((g for g in range(self.groups, 0, -1) if channels % g == 0), self.groups)
        if groups == self.groups:
            return self
        of_predictor = math.gcd(groups, self.predictor_groups)
        return dataclasses.replace(self, groups=groups, predictor_groups=of_predictor)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> FilterOptions:
        """Reads the options from ``MODEL.ANTIALIAS``; its other keys belong to the network."""
        node, names = cfg.MODEL.ANTIALIAS, [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: node[name.upper()] for name in names})

    def to_config(self) -> dict[str, float | str]:
        """Returns the options as {config key: value}."""
        return {config_key(name): value for name, value in dataclasses.asdict(self).items()}

    @property
    def lowpass(self) -> Lowpass | None:
        """The method :meth:`build`, or None for "none".

        Raises:
            InvalidOption: ``name`` is not "none" or one of the filters above.
        """
        check_choice("name", self.name, ("none", *KINDS))
        return None if self.name == "none" else self.build

    @property
    def lowpass_per_place(self) -> tuple[Lowpass | None, ...]:
        """What ``lowpass`` is for each of stem, res3, res4 and res5.

        Raises:
            InvalidOption: ``name`` is neither one name nor four names of the filters above.
        """
        names = names_per_place(self.name)
        return tuple(dataclasses.replace(self, name=name).lowpass for name in names)

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
        check_choice("name", self.name, tuple(KINDS))
        own = {option: getattr(self, option) for option in KINDS[self.name].options}
        return KINDS[self.name].layer(channels, stride=stride, **own)


def config_key(option: str) -> str:
    """Returns the config key of an option of the filters."""
    return f"MODEL.ANTIALIAS.{option.upper()}"
