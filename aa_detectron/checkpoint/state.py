"""Checks whether a training can continue from the state in a checkpoint."""

import math
from collections.abc import Iterator
from numbers import Number
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

_OF_PARAMETERS = {"momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
"""State of optimizers that has the shape of the parameter."""
_KINDS = {"betas": "exp_avg", "momentum": "momentum_buffer"}
"""{hyperparameter that only some optimizers have: state that it implies}."""
_COUNTERS = {"iteration", "last_epoch"}


def state_problems(name: str, found: Any, own: Any) -> Iterator[str]:
    """Lists what prevents loading a state, or would change the training silently.

    Args:
        name: name of the state, for messages.
        found: state in the checkpoint.
        own: state of the object that would load it; an optimizer may have no state yet.
    """
    if isinstance(own, dict):
        if not isinstance(found, dict):
            yield f"{name} is not a dict"
        elif own.keys() >= {"state", "param_groups"}:
            yield from _optimizer_problems(name, found, own)
        else:
            yield from _dict_problems(name, found, own)
    elif isinstance(own, list):
        if not isinstance(found, list) or len(found) != len(own):
            yield f"{name} is not a list of {len(own)}"
        else:
            for entry, of_own in zip(found, own, strict=True):
                yield from state_problems(name, entry, of_own)
    elif isinstance(own, Tensor):
        if not isinstance(found, Tensor) or found.shape != own.shape or not _is_finite(found):
            yield f"{name} is not a finite tensor of the same shape"
    elif isinstance(own, Number) and (not isinstance(found, Number) or not _is_finite(found)):
        yield f"{name} is {found!r}, but must be a finite number"
    elif name.rsplit(".", 1)[-1] in _COUNTERS and (not isinstance(found, int) or found < 0):
        yield f"{name} is {found!r}, but must be an integer of at least 0"


def _dict_problems(name: str, found: dict, own: dict) -> Iterator[str]:
    for key, value in own.items():
        if key in found:
            yield from state_problems(f"{name}.{key}", found[key], value)
        else:
            yield f"{name}.{key} is missing"


def _optimizer_problems(name: str, found: dict, own: dict) -> Iterator[str]:
    groups, states = found.get("param_groups"), found.get("state")
    if not (isinstance(groups, list) and groups and all(map(_is_group, groups))) or not (
        isinstance(states, dict) and all(isinstance(entry, dict) for entry in states.values())
    ):
        yield f"{name} is not an optimizer's state"
        return
    sizes = [[len(group["params"]) for group in side] for side in (groups, own["param_groups"])]
    if sizes[0] != sizes[1]:
        yield f"{name} belongs to other parameters"
    for key, state in _KINDS.items():
        if (key in groups[0]) != (key in own["param_groups"][0]):
            yield f"{name} belongs to another optimizer"
        elif groups[0].get(key) and not any(state in entry for entry in states.values()):
            yield f"{name} has no {state}"
    for group in groups:
        for key in ("lr", "weight_decay"):
            yield from state_problems(f"{name}.{key}", group.get(key), 0.0)
    for entry in states.values():
        values = [value for value in entry.values() if isinstance(value, Tensor)]
        if not all(map(_is_finite, values)):
            yield f"{name} has values that are not finite"


def optimizer_problems(name: str, found: dict, optimizer: Optimizer) -> Iterator[str]:
    """Lists the states of optimizers that belong to parameters of other shapes.

    Args:
        name: name of the state, for messages.
        found: state in which :func:`state_problems` has found no problem; the states of optimizers
            may be at any depth.
        optimizer: optimizer that would load the state.
    """
    if found.keys() >= {"state", "param_groups"}:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for index, entry in found["state"].items():
            if index not in range(len(parameters)):
                yield f"{name} belongs to other parameters"
                return
            for key in _OF_PARAMETERS & entry.keys():
                value = entry[key]
                if isinstance(value, Tensor) and value.shape != parameters[index].shape:
                    yield f"{name} has {key} of another shape"
    else:
        for key, value in found.items():
            if isinstance(value, dict):
                yield from optimizer_problems(f"{name}.{key}", value, optimizer)


def _is_group(group: object) -> bool:
    return isinstance(group, dict) and isinstance(group.get("params"), list)


def _is_finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(value.isfinite().all())
    return math.isfinite(value)
