"""Whatever runs a model's code, on images or on stand-ins for tensors, leaves nothing in it."""

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from aa_detectron.utils.keyed_random import keyed_random

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_CONTAINERS = (list, dict, set, OrderedDict)


@contextlib.contextmanager
def untouched(model: nn.Module, training: bool) -> Iterator[None]:
    """Sets the mode of all modules, and restores the model at the end.

    These are restored: the attributes of all modules, the entries of lists, dictionaries and sets
    among them, the values of buffers, and the states of the global random generators. The values
    of parameters are not.

    Args:
        model: any model.
        training: mode inside the block. It is only an attribute of each module: a model's own
            ``train`` may change weights, as it does where LoRA merges them.
    """
    attributes = {module: dict(vars(module)) for module in model.modules()}
    entries = [
        (value, value.copy())
        for found in attributes.values()
        for value in found.values()
        if type(value) in _CONTAINERS
    ]
    values = [(buffer, buffer.clone()) for buffer in model.buffers() if _has_values(buffer)]
    for module in attributes:
        vars(module)["training"] = training
    try:
        with keyed_random("untouched"):
            yield
    finally:
        for module, found in attributes.items():
            vars(module).clear()
            vars(module).update(found)
        for value, former in entries:
            _restore(value, former)
        _restore_values(values)


def switch_off_hooks(model: nn.Module) -> None:
    """Switches off forward hooks until the end of the block of :func:`untouched`."""
    for module in model.modules():
        vars(module).update({name: OrderedDict() for name in _HOOKS})


def _restore(value: Any, former: Any) -> None:
    if isinstance(value, list):
        value[:] = former
    else:
        value.clear()
        value.update(former)


def _has_values(buffer: Tensor) -> bool:
    return not is_lazy(buffer) and not buffer.is_meta and buffer.layout is torch.strided


@torch.inference_mode()  # the only mode in which tensors from inference mode can be changed
def _restore_values(values: list[tuple[Tensor, Tensor]]) -> None:
    for buffer, former in values:
        if not torch.equal(buffer, former):  # an expanded buffer cannot be written
            buffer.copy_(former)
