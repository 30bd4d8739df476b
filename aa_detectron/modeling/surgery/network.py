"""Anti-aliasing of any network (Zhang, ICML 2019, section 3; Zou et al., BMVC 2020)."""

import dataclasses
import fnmatch
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.layers.build import FilterOptions, Lowpass
from aa_detectron.utils.keyed_random import own_random

from ..filter_names import FILTERS, INPUT
from ..resnet import AntiAliased
from .channels import with_channels
from .guard import Guarded, guard
from .places import Choice, find_places
from .report import AntialiasReport, Place, Plan

_MARK = "is_from_antialias"
"""Attribute of every filter that :func:`antialias` has put into a model."""


def antialias(
    model: nn.Module,
    filter: str | Lowpass = "adaptive",
    *,
    kernel_size: int = 3,
    groups: int = 8,
    places: Sequence[str] | None = None,
    stem: bool = False,
    patch_embed: bool = False,
    example: Any = None,
    **filter_options: Any,
) -> AntialiasReport:
    """Moves the strides of a network's layers into low-pass filters, in place.

    * A strided conv computes every position, and the filter follows its activation: the end of a
      conv-norm-activation chain. Where this chain cannot be traced, the filter follows the conv.
    * A strided 1x1 conv without padding (a shortcut) has the filter before it.
    * A strided max or average pool has stride 1, and the filter follows it.
    * A conv that reads the image, and a patch embedding or patch merging (the stride is not below
      the kernel's side), is filtered on request only. A patch embedding keeps its stride and has a
      filter of stride 1 before it.
    * A pool that returns a single pixel is left alone, and so is a pool on maps of several numbers
      of channels if the filter depends on this number.
    * A conv whose weight is used without a call of the conv, or not at all, is left alone.

    A conv and its filter may be in different modules. Convert, fuse and reparameterize norms and
    convs before the call. The network raises an error if the filter of a conv is lost afterwards.

    No name in the state_dict changes, so that every checkpoint of the plain network loads with only
    the filters' own parameters missing. All output sizes stay the same for every input size. The
    blocks and stems of Detectron2's ResNet become the ones of
    :func:`~aa_detectron.modeling.build.build_resnet`, with the same names of filters.

    Sources: Zhang, ICML 2019, section 3; Zou et al., BMVC 2020.

    Args:
        model: any network of torch modules.
        filter: name of a filter, see :class:`~aa_detectron.layers.FilterOptions`, such as "blur"
            (fixed, LPF) or "adaptive"; or a function from the number of channels and the stride to
            a filter.
        kernel_size: side of the filters.
        groups: number of groups of channels of an adaptive filter. Where it does not divide the
            number of channels, the filter has the largest smaller number that does, and as many
            groups in its predictor as the numbers have in common.
        places: names of layers in the report, or patterns such as "layer3.*", of the layers that
            are filtered; None for all.
        stem: whether convs that read the image, of at most 4 channels, are filtered.
        patch_embed: whether patch embeddings and patch merging are filtered.
        example: an input of the network; a tuple is several arguments. It is needed only for
            pooling layers, whose number of channels is measured in a forward pass. None for an
            image of 224 x 224 pixels.
        filter_options: further fields of :class:`~aa_detectron.layers.FilterOptions`, such as
            ``norm`` or ``init``.

    Returns:
        report of the layers that downsample, filtered or left alone. ``print`` shows it as a table.

    Raises:
        InputError: the model already has filters, or no layer that can be filtered.
        InvalidOption: an option of the filters is illegal, or a pattern in ``places`` matches
            nothing. The model is unchanged after every error.
    """
    found = filters_of(model)
    if found:
        raise InputError(f"the model is already anti-aliased: it has the filter {found[0]}")
    lowpass = _lowpass(filter, {"kernel_size": kernel_size, "groups": groups, **filter_options})
    plans = find_places(model, Choice(stem, patch_embed))
    plans = with_channels(model, _chosen(plans, places), lowpass, example)
    if not any(plan.attach for plan in plans):
        raise InputError(f"the model has no layer that can be filtered: {_reasons(plans)}")
    with own_random():
        built = [_build(model, plan, lowpass) if plan.attach else None for plan in plans]
    for plan, module in zip(plans, built, strict=True):
        if plan.attach and module is not None:
            plan.attach(module)
            setattr(module, _MARK, True)
    guard(model, [_guarded(plan.place) for plan in plans if plan.attach and plan.is_guarded])
    parameters = [p.numel() for module in built if module for p in module.parameters()]
    return AntialiasReport(tuple(plan.place for plan in plans), sum(parameters))


def is_antialiased(model: nn.Module) -> bool:
    """Tells whether a model has filters from :func:`antialias` or from our ResNet's builders."""
    return bool(filters_of(model))


def filters_of(model: nn.Module) -> list[str]:
    """Lists the names of these filters in a model, in the order of its modules.

    Filters that a network's own code calls are left out.
    """
    modules = dict(model.named_modules())
    return [
        name
        for name, module in modules.items()
        if not isinstance(module, nn.Identity)
        and (hasattr(module, _MARK) or _is_of_our_resnet(modules, name))
    ]


def _is_of_our_resnet(modules: dict[str, nn.Module], name: str) -> bool:
    parent, _, last = name.rpartition(".")
    return last in FILTERS and isinstance(modules[parent], AntiAliased)


def _lowpass(filter: str | Lowpass, options: dict[str, Any]) -> Lowpass:
    if callable(filter):
        return filter
    chosen = FilterOptions(name=filter, **options)
    try:
        if chosen.lowpass is None:
            raise InvalidOption("filter", filter, "the name of a filter, or a function")
    except InvalidOption as error:
        option = "filter" if error.option == "name" else error.option
        raise InvalidOption(option, error.found, error.legal) from None

    return lambda channels, stride: chosen.fitting(channels).build(channels, stride)


def _chosen(plans: list[Plan], patterns: Sequence[str] | None) -> list[Plan]:
    """Leaves alone the layers that match none of the patterns."""
    if patterns is None:
        return plans
    names = [plan.place.name for plan in plans]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise InvalidOption("places", pattern, f"a name or pattern of {', '.join(names)}")
    kept = {name for pattern in patterns for name in fnmatch.filter(names, pattern)}
    return [
        plan if plan.place.name in kept or not plan.attach else _left_out(plan) for plan in plans
    ]


def _left_out(plan: Plan) -> Plan:
    note = "left alone: not in places"
    return Plan(dataclasses.replace(plan.place, filter_name="", channels=0, stride=1, note=note))


def _build(model: nn.Module, plan: Plan, lowpass: Lowpass) -> nn.Module:
    """Builds the filter of a place, on the device, in the dtype and mode of its layer."""
    layer = model.get_submodule(plan.place.name)
    like = next(itertools.chain(layer.parameters(), model.parameters()), torch.empty(0))
    module = lowpass(plan.place.channels, plan.place.stride)
    return module.to(like.device, like.dtype).train(layer.training)


def _guarded(place: Place) -> Guarded:
    host, _, filter_name = place.filter_name.rpartition(".")
    return Guarded(place.name, host, filter_name == INPUT)


def _reasons(plans: list[Plan]) -> str:
    notes = dict.fromkeys(plan.place.note for plan in plans)
    return "; ".join(notes) or "no layer downsamples"
