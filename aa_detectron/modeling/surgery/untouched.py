"""Tracing runs a model's code on stand-ins for tensors, which must not stay in the model."""

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from torch import nn

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_CONTAINERS = (list, dict, set, OrderedDict)


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Switches off forward hooks, and restores the attributes of all modules at the end.

    Lists, dictionaries and sets that are attributes have their former entries again as well.
    """
    attributes = {module: dict(vars(module)) for module in model.modules()}
    entries = [
        (value, value.copy())
        for found in attributes.values()
        for value in found.values()
        if type(value) in _CONTAINERS
    ]
    for module in attributes:
        vars(module).update({name: OrderedDict() for name in _HOOKS})
    try:
        yield
    finally:
        for module, found in attributes.items():
            vars(module).clear()
            vars(module).update(found)
        for value, former in entries:
            _restore(value, former)


def _restore(value: Any, former: Any) -> None:
    if isinstance(value, list):
        value[:] = former
    else:
        value.clear()
        value.update(former)
