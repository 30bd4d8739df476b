"""From a name in the config to a low-pass filter with stride."""

from detectron2.config import CfgNode
from fvcore.common.registry import Registry
from torch import nn

from aa_detectron.errors import InvalidOption, check_choice
from aa_detectron.utils.keyed_random import own_random

from .adaptive_blur_pool import AdaptiveBlurPool2d
from .blur_pool import BlurPool2d

LOWPASS_REGISTRY = Registry("LOWPASS")
LOWPASS_REGISTRY.__doc__ = """
Low-pass filters that ``MODEL.ANTIALIAS.NAME`` can name.

The registered object is called as ``f(cfg, channels, stride)`` and returns a module that maps
(N, channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)).
"""


@LOWPASS_REGISTRY.register()
def blur(cfg: CfgNode, channels: int, stride: int) -> nn.Module:
    """Fixed binomial blur, "LPF"."""
    options = cfg.MODEL.ANTIALIAS
    return BlurPool2d(channels, options.KERNEL_SIZE, stride, options.PADDING_MODE)


@LOWPASS_REGISTRY.register()
def adaptive(cfg: CfgNode, channels: int, stride: int) -> nn.Module:
    """Predicted per location and group of channels."""
    options = cfg.MODEL.ANTIALIAS
    return AdaptiveBlurPool2d(
        channels,
        options.KERNEL_SIZE,
        stride,
        options.GROUPS,
        adaptivity=options.ADAPTIVITY,
        softmax=options.SOFTMAX,
        norm=options.NORM,
        init=options.INIT,
        padding_mode=options.PADDING_MODE,
    )


def check_lowpass_name(cfg: CfgNode) -> None:
    """Raises InvalidOption unless ``MODEL.ANTIALIAS.NAME`` is "none" or a registered filter."""
    names = ["none", *(name for name, _ in LOWPASS_REGISTRY)]
    check_choice("MODEL.ANTIALIAS.NAME", cfg.MODEL.ANTIALIAS.NAME, names)


def build_lowpass(cfg: CfgNode, channels: int, stride: int) -> nn.Module:
    """Builds the filter that ``MODEL.ANTIALIAS.NAME`` names.

    Its random start does not move the CPU's global generator: whatever the filter, the layers
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
        key = f"MODEL.ANTIALIAS.{error.option.upper()}"
        raise InvalidOption(key, error.found, error.legal) from None
