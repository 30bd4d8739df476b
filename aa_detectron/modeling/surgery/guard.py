"""Filters that a later change of the network would drop without a word, together with the stride.

A filter is applied by a hook, often on a norm. Whatever puts another module in the place of the
norm drops the hook, while the conv already has stride 1.
"""

import functools
import inspect
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import nn

from aa_detectron.errors import InputError

from ..filter_names import INPUT, OUTPUT
from .hooks import apply_hook, has_hook
from .report import is_strided

_FUSIONS = ("fuse", "fuse_model", "reparameterize", "switch_to_deploy")
"""Names of methods that put one conv in the place of several convs and norms."""
_ADVICE = "convert, fuse or reparameterize the network before antialias"


class Guarded(NamedTuple):
    """A conv whose stride a filter has, by names in a common ancestor.

    Args:
        conv: name of the conv.
        host: name of the module whose input or output is filtered.
        is_input: whether it is the input.
    """

    conv: str
    host: str
    is_input: bool

    @property
    def filter_name(self) -> str:
        """Name of the filter."""
        return f"{self.host}.{INPUT if self.is_input else OUTPUT}"


def guard(model: nn.Module, filters: Iterable[Guarded]) -> None:
    """Lets a network check that its filters are still applied, whenever it is called.

    * A norm that was converted with its filter, as by ``convert_sync_batchnorm``, applies it again.
    * A lost filter is an :class:`~aa_detectron.errors.InputError`.
    * Methods that fuse convs and norms raise this error, instead of dropping the filters.

    A layer that was cut off together with its filter needs none.

    Args:
        model: network; it and the closest common ancestors of each pair have the checks, since not
            every use of a network calls the whole.
        filters: convs and hosts, by their names in the model.
    """
    checks: dict[str, list[Guarded]] = defaultdict(list)
    for guarded in filters:
        if not guarded.host:
            continue  # the network is this layer
        for ancestor in {"", _closest_ancestor(guarded)}:
            start = len(ancestor) + 1 if ancestor else 0
            names = guarded._replace(conv=guarded.conv[start:], host=guarded.host[start:])
            checks[ancestor].append(names)
        parts = guarded.host.split(".")
        for depth in range(len(parts)):
            _reject_fusions(model.get_submodule(".".join(parts[:depth])), guarded.filter_name)
    for name, names_in_it in checks.items():
        check = functools.partial(_check, tuple(names_in_it))
        model.get_submodule(name).register_forward_pre_hook(check)


def _closest_ancestor(guarded: Guarded) -> str:
    common = []
    parents = (name.split(".")[:-1] for name in (guarded.conv, guarded.host))
    for first, second in zip(*parents, strict=False):
        if first != second:
            break
        common.append(first)
    return ".".join(common)


def _check(filters: tuple[Guarded, ...], ancestor: nn.Module, args: tuple[Any, ...]) -> None:
    for guarded in filters:
        host = _find(ancestor, guarded.host)
        if host is None or not has_hook(host, guarded.is_input):
            _repair(ancestor, guarded, host)


def _find(ancestor: nn.Module, name: str) -> nn.Module | None:
    found: Any = ancestor
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, nn.Module) else None


def _repair(ancestor: nn.Module, guarded: Guarded, host: nn.Module | None) -> None:
    """Applies a filter again that its host still has, and raises an error for one that is lost."""
    if host is not None:
        if any(has_hook(module, guarded.is_input) for module in host.modules()):
            return  # wrapped in another module
        if (INPUT if guarded.is_input else OUTPUT) in dict(host.named_children()):
            apply_hook(host, guarded.is_input)
            return
    conv = _find(ancestor, guarded.conv)
    if not hasattr(conv, "stride") or is_strided(conv):
        return  # cut off, or replaced by a layer that has its stride
    now = "nothing" if host is None else f"a module {type(host).__name__} without it"
    raise InputError(f"the filter {guarded.filter_name} is lost: there is {now}; {_ADVICE}")


def _reject_fusions(module: nn.Module, filter_name: str) -> None:
    for name in _FUSIONS:
        method = inspect.getattr_static(type(module), name, None)
        if inspect.isfunction(method) and _needs_no_argument(method):
            setattr(module, name, functools.partial(_reject, name, filter_name))


def _needs_no_argument(method: Any) -> bool:
    """Tells a fusion of layers from a method that merges the feature maps it is given."""
    _, *others = inspect.signature(method).parameters.values()
    return all(p.default is not p.empty or p.kind is p.VAR_KEYWORD for p in others)


def _reject(method: str, filter_name: str, *args: Any, **kwargs: Any) -> None:
    raise InputError(f"{method} would drop the filter {filter_name}; {_ADVICE}")
