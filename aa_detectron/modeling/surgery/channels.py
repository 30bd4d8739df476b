"""Number of channels of the feature maps that pooling layers receive."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from aa_detectron.errors import first_line

from .report import Plan

_IMAGE_SIDE = 224


def with_channels(model: nn.Module, plans: list[Plan], example: Any = None) -> list[Plan]:
    """Fills in the number of channels of pooling layers, from one forward pass in eval mode.

    Args:
        model: model; it is not changed.
        plans: plans, of which the ones for pooling layers have ``channels`` 0.
        example: input of the model, a tuple for several arguments; None for an image of zeros.

    Returns:
        plans; a pooling layer whose number of channels remains unknown is left alone.
    """
    pools = [plan.place.name for plan in plans if plan.attach and not plan.place.channels]
    if not pools:
        return plans
    found: dict[str, int] = {}
    reason = "the model does not call it; give another example"
    try:
        _run(model, _image(model) if example is None else example, pools, found)
    except Exception as error:  # whatever the model's code raises
        reason = f"the example failed ({first_line(error)[:80]})"
    return [
        _filled(plan, found.get(plan.place.name), reason) if plan.place.name in pools else plan
        for plan in plans
    ]


def _filled(plan: Plan, channels: int | None, reason: str) -> Plan:
    if channels is None:
        note = f"left alone: {reason}"
        return Plan(dataclasses.replace(plan.place, filter_name="", note=note, stride=1))
    return plan._replace(place=dataclasses.replace(plan.place, channels=channels))


def _run(model: nn.Module, example: Any, pools: list[str], found: dict[str, int]) -> None:
    def record(name: str, args: tuple[Any, ...]) -> None:
        if isinstance(args[0], Tensor) and args[0].dim() == 4:
            found[name] = args[0].shape[1]

    handles = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda module, args, name=name: record(name, args)
        )
        for name in pools
    ]
    try:
        with torch.no_grad(), _eval_mode(model):
            model(*example) if isinstance(example, tuple) else model(example)
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, was_training in training.items():
            module.training = was_training


def _image(model: nn.Module) -> Tensor:
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    weight = convs[0].weight if convs else torch.empty(0, 3)
    shape = 1, weight.shape[1], _IMAGE_SIDE, _IMAGE_SIDE
    return torch.zeros(shape, device=weight.device, dtype=weight.dtype)
