"""Low-pass filters by their name in a config; needs Detectron2, unlike the layers themselves."""

import dataclasses

from detectron2.config import CfgNode
from fvcore.common.registry import Registry
from torch import nn

from aa_detectron.errors import InvalidOption, check_choice
from aa_detectron.utils.keyed_random import own_random

from .build import FilterOptions, config_key

LOWPASS_REGISTRY = Registry("LOWPASS")
LOWPASS_REGISTRY.__doc__ = """
Low-pass filters for ``MODEL.ANTIALIAS.NAME``.

A registered object is called as ``f(cfg, channels, stride)``. It returns a module that maps
(N, channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)).
"""


@LOWPASS_REGISTRY.register()
def blur(cfg: CfgNode, channels: int, stride: int) -> nn.Module:
    """Builds the fixed binomial blur, "LPF"."""
    return _options(cfg, "blur").build(channels, stride)


@LOWPASS_REGISTRY.register()
def adaptive(cfg: CfgNode, channels: int, stride: int) -> nn.Module:
    """Builds the filter that is predicted for each location and group of channels."""
    return _options(cfg, "adaptive").build(channels, stride)


def _options(cfg: CfgNode, name: str) -> FilterOptions:
    # A registered filter of the user's may call these functions: the config then has its name.
    return dataclasses.replace(FilterOptions.from_config(cfg), name=name)


def check_lowpass_name(cfg: CfgNode) -> None:
    """Checks the name of the filter.

    Raises:
        InvalidOption: ``MODEL.ANTIALIAS.NAME`` is neither "none" nor a registered filter.
    """
    names = ["none", *(name for name, _ in LOWPASS_REGISTRY)]
    check_choice(config_key("name"), cfg.MODEL.ANTIALIAS.NAME, names)


def build_lowpass(cfg: CfgNode, channels: int, stride: int) -> nn.Module:
    """Builds the filter that ``MODEL.ANTIALIAS.NAME`` names.

    Its random weights leave the CPU's global generator as it was. The layers that are built after
    it therefore have the same random weights for every filter, and one seed pairs the variants of
    a network. Two filters of the same size have the same random weights unless something is drawn
    from the global generator between them.

    Args:
        cfg: config with ``MODEL.ANTIALIAS``.
        channels: number of channels of the feature map, C.
        stride: stride, s >= 1; 1 filters without downsampling.

    Returns:
        Module that maps (N, C, H, W) to (N, C, ceil(H / s), ceil(W / s)).

    Raises:
        InvalidOption: a key has an illegal value.
    """
    check_lowpass_name(cfg)
    try:
        with own_random():
            return LOWPASS_REGISTRY.get(cfg.MODEL.ANTIALIAS.NAME)(cfg, channels, stride)
    except InvalidOption as error:  # arguments have the names of the keys
        raise InvalidOption(config_key(error.option), error.found, error.legal) from None
