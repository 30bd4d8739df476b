"""What a model's adaptive filters get to see, recorded with hooks."""

import contextlib
import math
import re
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_detectron.errors import InputError
from aa_detectron.layers import AdaptiveBlurPool2d


def adaptive_filters(network: nn.Module) -> dict[str, AdaptiveBlurPool2d]:
    """The adaptive filters by their places: "stem", "res3", "res3 shortcut", ..., in order.

    Args:
        network: a ResNet, or an FPN on one. A filter in another kind of block keeps its full name.

    Raises:
        InputError: there are none.
    """
    filters = {
        place_name(name): module
        for name, module in network.named_modules()
        if isinstance(module, AdaptiveBlurPool2d)
    }
    if not filters:
        raise InputError('has no adaptive filters, which MODEL.ANTIALIAS.NAME "adaptive" makes')
    return filters


def place_name(name: str) -> str:
    """ "stem", "res3" or "res3 shortcut" for "bottom_up.res3.0.aa_shortcut"."""
    found = re.search(r"\b(stem|res\d)(?:\.0)?\.aa(_shortcut)?$", name)
    return name if found is None else found[1] + (" shortcut" if found[2] else "")


def shared_places(models: dict[str, dict]) -> list[str]:
    """The places that all models have, without shortcuts, in order."""
    first, *others = models.values()
    shared = [place for place in first if all(place in other for other in others)]
    return [place for place in shared if not place.endswith("shortcut")]


@contextlib.contextmanager
def recorded_inputs(modules: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Yields a dict that holds the input of each module's last call while the block runs."""
    inputs = {}

    def record(name):
        return lambda module, arguments: inputs.__setitem__(name, arguments[0].detach())

    handles = [m.register_forward_pre_hook(record(name)) for name, m in modules.items()]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def record_image(model: nn.Module, item: dict) -> tuple[dict[str, Tensor], tuple[int, int]]:
    """The inputs of the adaptive filters in a model's backbone, for one image.

    Args:
        model: of Detectron2, with a ``backbone``; in evaluation mode.
        item: the model's input for an image.

    Returns:
        {place: (1, C, H, W)}, and the (height, width) of the padded image that the backbone gets.

    Raises:
        InputError: the backbone has no adaptive filters.
    """
    filters = adaptive_filters(model.backbone)
    with recorded_inputs({"": model.backbone, **filters}) as inputs:
        model([item])
    height, width = inputs.pop("").shape[-2:]
    return {place: inputs[place] for place in filters}, (height, width)


def over_image(grid: Tensor, padded: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Interpolates numbers on a map's grid to the pixels of the image.

    Location (p, q) of a map of stride s is at pixel (s * p, s * q): that is where the centres of
    the strided convs and filters are. Beyond the last location its number goes on.

    Args:
        grid: (H', W').
        padded: (height, width) of the image that led to the map.
        size: (height, width) of the image without its padding.

    Returns:
        (height, width) as of ``size``.
    """
    lengths = [
        _stride(n, cells) * (cells - 1) + 1 for n, cells in zip(padded, grid.shape, strict=True)
    ]
    fine = F.interpolate(grid[None, None].float(), lengths, mode="bilinear", align_corners=True)
    missing = [max(0, n - length) for n, length in zip(size, lengths, strict=True)]
    fine = F.pad(fine, (0, missing[1], 0, missing[0]), mode="replicate")
    return fine[0, 0, : size[0], : size[1]]


def _stride(length: int, cells: int) -> int:
    """Power of two; the map may be larger by the rounding up of every step on the way."""
    return 2 ** math.ceil(math.log2(length / cells))
