"""Feature maps that pooling layers return, which tell their number of channels."""

import dataclasses
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from aa_detectron.errors import first_line
from aa_detectron.layers.build import Lowpass
from aa_detectron.utils.keyed_random import own_random

from .report import Plan
from .untouched import untouched

_IMAGE_SIDE = 224
Shapes = dict[str, list[torch.Size]]
"""{name of a pooling layer: shape of its output in each call}."""


def with_channels(
    model: nn.Module, plans: list[Plan], lowpass: Lowpass, example: Any = None
) -> list[Plan]:
    """Fills in the number of channels of pooling layers, from one forward pass in eval mode.

    Args:
        model: model; it is not changed.
        plans: plans, of which the ones for pooling layers have ``channels`` 0.
        lowpass: function that builds the filters.
        example: input of the model, a tuple for several arguments; None for an image of zeros.

    Returns:
        plans. A pooling layer is left alone if its number of channels remains unknown, if it
        returns a single pixel, or if it is called on maps of several widths and the filter depends
        on the width.
    """
    pools = [plan.place.name for plan in plans if plan.attach and not plan.place.channels]
    if not pools:
        return plans
    found: Shapes = defaultdict(list)
    reason = "the model does not call it; give another example"
    try:
        _run(model, _image(model) if example is None else example, pools, found)
    except Exception as error:  # whatever the model's code raises
        reason = f"the example failed ({first_line(error)[:80]})"
    return [
        _filled(plan, found[plan.place.name], lowpass, reason) if plan.place.name in pools else plan
        for plan in plans
    ]


def _filled(plan: Plan, shapes: list[torch.Size], lowpass: Lowpass, reason: str) -> Plan:
    widths = sorted({shape[1] for shape in shapes})
    if shapes and all(shape[2:] == (1, 1) for shape in shapes):
        reason = "returns a single pixel"
    elif len(widths) > 1 and _depends_on_width(lowpass, widths, plan.place.stride):
        found = " and ".join(map(str, widths))
        reason = f"called on maps of {found} channels; one filter cannot serve them"
    elif shapes:
        return plan._replace(place=dataclasses.replace(plan.place, channels=shapes[-1][1]))
    note = f"left alone: {reason}"
    return Plan(dataclasses.replace(plan.place, filter_name="", note=note, stride=1))


def _depends_on_width(lowpass: Lowpass, widths: list[int], stride: int) -> bool:
    """Tells whether filters for several numbers of channels have different parameters."""
    with own_random():
        filters = [lowpass(width, stride) for width in widths]
    shapes = [
        {name: t.shape for name, t in (*module.named_parameters(), *module.named_buffers())}
        for module in filters
    ]
    return any(other != shapes[0] for other in shapes)


def _run(model: nn.Module, example: Any, pools: list[str], found: Shapes) -> None:
    def record(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4:
            found[name].append(output.shape)

    with torch.no_grad(), untouched(model, training=False):
        for name in pools:
            model.get_submodule(name).register_forward_hook(
                lambda module, args, output, name=name: record(name, output)
            )
        model(*example) if isinstance(example, tuple) else model(example)


def _image(model: nn.Module) -> Tensor:
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    channels = convs[0].in_channels if convs else 3  # a grouped conv's weight has fewer
    like = convs[0].weight if convs else torch.empty(0)
    shape = 1, channels, _IMAGE_SIDE, _IMAGE_SIDE
    return torch.zeros(shape, device=like.device, dtype=like.dtype)
