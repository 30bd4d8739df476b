"""Maps cut into parts that stay in the cache of a CPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .kernels.choice import is_eager
from .maps import PART_BYTES, is_channels_last


def in_parts(function: Callable[..., Tensor], x: Tensor, *args: Any) -> Tensor:
    """Applies a function to a map, on a CPU to groups of channels one after the other.

    What the function keeps in memory between its steps then stays in the cache. Exports and maps in
    channels-last format are not cut.

    Args:
        function: function of a map that does the same in every channel.
        x: feature map, (N, C, H, W) or (C, H, W).
        args: further arguments of the function.

    Returns:
        What the function returns for the whole map.
    """
    if not is_eager(x) or x.device.type != "cpu" or (x.dim() == 4 and is_channels_last(x)):
        return function(x, *args)
    channels = max(1, PART_BYTES // max(1, x.narrow(-3, 0, min(1, x.shape[-3])).nbytes))
    results = [function(part, *args) for part in x.split(channels, -3)]
    return results[0] if len(results) == 1 else torch.cat(results, -3)
