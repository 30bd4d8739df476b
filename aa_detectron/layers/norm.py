"""Norms by name: from Detectron2, or from PyTorch where Detectron2 is not installed."""

from collections.abc import Callable

from torch import nn

from aa_detectron import compat
from aa_detectron.errors import InvalidOption, check_choice

Norm = str | Callable[[int], nn.Module] | None
"""A name, or a function from the number of channels to a norm; "" or None for no norm."""


def _frozen_batch_norm(channels: int) -> nn.Module:
    try:
        from torchvision.ops import FrozenBatchNorm2d
    except ImportError:
        legal = "another norm where neither Detectron2 nor torchvision is installed"
        raise InvalidOption("norm", "FrozenBN", legal) from None
    return FrozenBatchNorm2d(channels)


_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "BN": nn.BatchNorm2d,
    "SyncBN": nn.SyncBatchNorm,
    "FrozenBN": _frozen_batch_norm,
    "GN": lambda channels: nn.GroupNorm(32, channels),
}
NORMS = (*_NORMS, "")
"""Names of the norms that every installation has; "" for no norm."""


def get_torch_norm(norm: Norm, out_channels: int) -> nn.Module | None:
    """Returns the norm that ``detectron2.layers.get_norm`` returns, without Detectron2.

    Args:
        norm: "BN", "SyncBN", "FrozenBN", "GN" (32 groups), or a function from the number of
            channels to a norm; "" or None for no norm.
        out_channels: number of channels that are normalized.

    Raises:
        InvalidOption: the name is unknown, or "FrozenBN" is asked for without torchvision.
    """
    if not norm:
        return None
    if isinstance(norm, str):
        check_choice("norm", norm, NORMS)
        norm = _NORMS[norm]
    return norm(out_channels)


if compat.has_detectron2():
    from detectron2.layers import get_norm
else:
    get_norm = get_torch_norm
