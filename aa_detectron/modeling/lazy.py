"""Networks from plain arguments, for ``LazyCall`` and for anyone without a config."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from torch import nn

from aa_detectron.errors import InvalidOption, check_choice
from aa_detectron.layers.build import KINDS, FilterOptions, Lowpass
from aa_detectron.layers.norm import Norm
from aa_detectron.layers.per_place import PLACES, joined_names, names_per_place
from aa_detectron.utils.keyed_random import own_random

from .bases import ResNet
from .build import build_resnet
from .surgery import antialias

logger = logging.getLogger(__name__)

_OF_FILTERS = {field.name for field in dataclasses.fields(FilterOptions)} - {"name", "norm"}


def aa_resnet_backbone(
    depth: int = 50,
    filter: str | Sequence[str] | Lowpass = "adaptive",
    *,
    filter_norm: str | None = None,
    norm: Norm = "FrozenBN",
    out_features: Sequence[str] = ("res2", "res3", "res4", "res5"),
    freeze_at: int = 2,
    **kwargs: Any,
) -> ResNet:
    """Builds a backbone for Detectron2's models, with a filter in all seven places of a ResNet.

    With the same options and the same seed, it equals the backbone that the config builds, random
    weights included.

    Args:
        depth: number of layers: 18, 34, 50, 101 or 152.
        filter: "none"; the name of a filter, or four names for stem, res3, res4 and res5; or a
            function that builds the filter of any place from the number of channels and the stride.
        filter_norm: norm of the filter's predictor: "BN", "SyncBN", "FrozenBN", "GN" or ""; None
            stands for "BN".
        norm: norm after every conv; "FrozenBN" is meant for weights from a checkpoint.
        out_features: names of the outputs: "stem", "res2" to "res5".
        freeze_at: number of frozen stages, 0 to 5; the stem is the first.
        kwargs: further fields of :class:`~aa_detectron.layers.FilterOptions`, such as
            ``kernel_size`` or ``groups``, and arguments of :func:`~.build.build_resnet`, such as
            ``num_groups``. A function as ``filter`` has its own options, and no ``filter_norm``.

    Returns:
        Backbone that maps (N, 3, H, W) to {name: feature map}.

    Raises:
        InvalidOption: an argument is illegal, or does not fit the number of channels.
    """
    options = {name: kwargs.pop(name) for name in _OF_FILTERS & kwargs.keys()}
    if filter_norm is not None:
        options["filter_norm"] = filter_norm
    return build_resnet(
        depth,
        lowpass=_lowpass_per_place(filter, options),
        norm=norm,
        out_features=list(out_features),
        freeze_at=freeze_at,
        **kwargs,
    )


def antialiased(model: nn.Module, filter: str | Lowpass = "adaptive", **kwargs: Any) -> nn.Module:
    """Puts filters into a model, and returns the model.

    Args:
        model: any model, such as a backbone of Detectron2; it is changed in place.
        filter: "none" for the model as it is, or see :func:`~.surgery.antialias`.
        kwargs: further arguments of :func:`~.surgery.antialias`.

    Raises:
        InvalidOption: an argument is illegal.
    """
    if filter != "none":
        report = antialias(model, filter, **kwargs)
        logger.info("%s with filters:\n%s", type(model).__name__, report)
    return model


def _lowpass_per_place(
    filter: str | Sequence[str] | Lowpass, options: dict[str, Any]
) -> tuple[Lowpass | None, ...]:
    """Returns the functions that build the filters of stem, res3, res4 and res5."""
    if callable(filter):
        for option in sorted(options):
            legal = "left out, since filter is a function"
            raise InvalidOption(option, options[option], legal)
        return (_paired(filter),) * len(PLACES)
    names = names_per_place(filter, "filter")
    for name in names:
        check_choice("filter", name, ("none", *KINDS))
    norm = options.pop("filter_norm", "BN")
    lowpasses = FilterOptions(joined_names(names), norm=norm, **options).lowpass_per_place
    return tuple(lowpass and _paired(lowpass) for lowpass in lowpasses)


def _paired(build: Lowpass) -> Lowpass:
    """Leaves the global generator as it was, so that one seed pairs the variants of a network."""

    def lowpass(channels: int, stride: int) -> nn.Module:
        with own_random():
            return build(channels, stride)

    return lowpass
