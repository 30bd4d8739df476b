"""Classes of a conv and a norm whose output is filtered, which fusions do not take for plain ones.

A fusion of a conv and the norm behind it, such as ``torch.fx.experimental.optimization.fuse``,
looks for the classes of PyTorch themselves. It would drop the filter of the norm, or calculate as
if there were none between the two.
"""

from typing import Any

from torch import nn


def as_host(module: nn.Module) -> None:
    """Gives a plain conv or norm the class for hosts of a filter, in place."""
    module.__class__ = _CLASSES.get(type(module), type(module))


class _Host(nn.Module):
    # torch.fx does not trace into modules of torch.nn. Since pickle would look there for the class
    # as well, these modules are rebuilt by a function.
    def __reduce__(self) -> Any:
        plain = next(plain for plain, host in _CLASSES.items() if host is type(self))
        return _new, (plain,), self.__dict__


class FilteredConv2d(_Host, nn.Conv2d):
    """Conv whose output is filtered."""

    __module__ = nn.Conv2d.__module__


class FilteredBatchNorm2d(_Host, nn.BatchNorm2d):
    """Norm whose output is filtered."""

    __module__ = nn.BatchNorm2d.__module__


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: FilteredConv2d,
    nn.BatchNorm2d: FilteredBatchNorm2d,
}


def _new(plain: type[nn.Module]) -> nn.Module:
    host = _CLASSES[plain]
    return host.__new__(host)
