"""From a name in a config to a low-pass filter; needs Detectron2, unlike the layers themselves."""

import dataclasses

from detectron2.config import CfgNode
from fvcore.common.registry import Registry
from torch import nn

from aa_detectron.errors import InvalidOption, check_choice
from aa_detectron.utils.keyed_random import own_random

from .build import FilterOptions, config_key

LOWPASS_REGISTRY = Registry("LOWPASS")
LOWPASS_REGISTRY.__doc__ = """
Low-pass filters that ``MODEL.ANTIALIAS.NAME`` can name.

The registered object is called as ``f(cfg, channels, stride)`` and returns a module that maps
(N, channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)).
"""


@LOWPASS_REGISTRY.register()
def blur(cfg: CfgNode, channels: int, stride: int) -> nn.Module:
    """Fixed binomial blur, "LPF"."""
    return _options(cfg, "blur").build(channels, stride)


@LOWPASS_REGISTRY.register()
def adaptive(cfg: CfgNode, channels: int, stride: int) -> nn.Module:
    """Predicted per location and group of channels."""
    return _options(cfg, "adaptive").build(channels, stride)


def _options(cfg: CfgNode, name: str) -> FilterOptions:
    # A user's own filter may be made of these: the config then has another name.
    return dataclasses.replace(FilterOptions.from_config(cfg), name=name)


def check_lowpass_name(cfg: CfgNode) -> None:
    """Raises InvalidOption unless ``MODEL.ANTIALIAS.NAME`` is "none" or a registered filter."""
    names = ["none", *(name for name, _ in LOWPASS_REGISTRY)]
    check_choice(config_key("name"), cfg.MODEL.ANTIALIAS.NAME, names)


def build_lowpass(cfg: CfgNode, channels: int, stride: int) -> nn.Module:
    """Builds the filter that ``MODEL.ANTIALIAS.NAME`` names.

    Its random weights do not move the CPU's global generator: whatever the filter, the layers
    built after it start with the same weights, so that one seed pairs the variants of a network.
    Filters of one size with nothing drawn between them start alike.

    Raises:
        InvalidOption: naming the config key, the value found and the legal values.
    """
    check_lowpass_name(cfg)
    try:
        with own_random():
            return LOWPASS_REGISTRY.get(cfg.MODEL.ANTIALIAS.NAME)(cfg, channels, stride)
    except InvalidOption as error:  # the arguments are named like the keys
        raise InvalidOption(config_key(error.option), error.found, error.legal) from None
