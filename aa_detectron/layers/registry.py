"""Low-pass filters by their name in a config; needs Detectron2, unlike the layers themselves."""

import dataclasses
import functools

from detectron2.config import CfgNode
from fvcore.common.registry import Registry
from torch import nn

from aa_detectron.errors import InvalidOption, check_choice
from aa_detectron.utils.keyed_random import own_random

from .build import KINDS, FilterOptions, Lowpass, config_key
from .per_place import names_per_place

LOWPASS_REGISTRY = Registry("LOWPASS")
LOWPASS_REGISTRY.__doc__ = """
Low-pass filters for ``MODEL.ANTIALIAS.NAME``.

A registered object is called as ``f(cfg, channels, stride)``. It returns a module that maps
(N, channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)).
"""


def _register(name: str) -> None:
    def build(cfg: CfgNode, channels: int, stride: int) -> nn.Module:
        # A registered filter of the user's may call this function: the config then has its name.
        options = dataclasses.replace(FilterOptions.from_config(cfg), name=name)
        return options.build(channels, stride)

    build.__name__ = name
    LOWPASS_REGISTRY.register(build)


for _name in KINDS:
    _register(_name)


def lowpass_names(cfg: CfgNode) -> tuple[str, ...]:
    """Returns the names of the filters in stem, res3, res4 and res5.

    Raises:
        InvalidOption: ``MODEL.ANTIALIAS.NAME`` is neither one name nor four, or a name is neither
            "none" nor a registered filter.
    """
    names = names_per_place(cfg.MODEL.ANTIALIAS.NAME, config_key("name"))
    for name in names:
        _check_name(name)
    return names


def _check_name(name: str) -> None:
    check_choice(config_key("name"), name, ["none", *(found for found, _ in LOWPASS_REGISTRY)])


def lowpass_per_place(cfg: CfgNode) -> tuple[Lowpass | None, ...]:
    """Returns functions that build the filters of stem, res3, res4 and res5; None for "none".

    Raises:
        InvalidOption: ``MODEL.ANTIALIAS.NAME`` is illegal, see :func:`lowpass_names`.
    """
    return tuple(
        None if name == "none" else functools.partial(build_lowpass, cfg, name=name)
        for name in lowpass_names(cfg)
    )


def build_lowpass(
    cfg: CfgNode, channels: int, stride: int, *, name: str | None = None
) -> nn.Module:
    """Builds a filter with the options of ``MODEL.ANTIALIAS``.

    Its random weights leave the CPU's global generator as it was. The layers that are built after
    it therefore have the same random weights for every filter, and one seed pairs the variants of
    a network. Two filters of the same size have the same random weights unless something is drawn
    from the global generator between them.

    Args:
        cfg: config with ``MODEL.ANTIALIAS``.
        channels: number of channels of the feature map, C.
        stride: stride, s >= 1; 1 filters without downsampling.
        name: name of the filter; None for ``MODEL.ANTIALIAS.NAME``, if this is one name.

    Returns:
        Module that maps (N, C, H, W) to (N, C, ceil(H / s), ceil(W / s)).

    Raises:
        InvalidOption: a key has an illegal value.
    """
    name = cfg.MODEL.ANTIALIAS.NAME if name is None else name
    _check_name(name)
    try:
        with own_random():
            return LOWPASS_REGISTRY.get(name)(cfg, channels, stride)
    except InvalidOption as error:  # arguments have the names of the keys
        raise InvalidOption(config_key(error.option), error.found, error.legal) from None
