"""Inputs of a model's adaptive filters, recorded with hooks."""

import contextlib
import math
import re
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_detectron.engine.launch import LoadedModel
from aa_detectron.errors import InputError
from aa_detectron.layers import AdaptiveBlurPool2d


def adaptive_filters(network: nn.Module) -> dict[str, AdaptiveBlurPool2d]:
    """The adaptive filters by their places: "stem", "res3", "res3 shortcut", ..., in order.

    Args:
        network: a ResNet, or an FPN with a ResNet. A filter in any other block keeps its full name.

    Raises:
        InputError: the network has no adaptive filters.
    """
    filters = {
        place_name(name): module
        for name, module in network.named_modules()
        if isinstance(module, AdaptiveBlurPool2d)
    }
    if not filters:
        raise InputError('has no adaptive filters, which MODEL.ANTIALIAS.NAME "adaptive" makes')
    return filters


def backbone_filters(model: nn.Module) -> dict[str, AdaptiveBlurPool2d]:
    """The adaptive filters in the backbone of a model of Detectron2, see :func:`adaptive_filters`.

    Raises:
        InputError: the backbone has no adaptive filters.
    """
    return adaptive_filters(model.get_submodule("backbone"))


def check_filters(models: dict[str, LoadedModel]) -> None:
    """Checks that all models have adaptive filters in their backbones.

    Raises:
        InputError: a model has none; the message starts with its name.
    """
    for name, (_, model) in models.items():
        try:
            backbone_filters(model)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None


def check_shared_places(models: dict[str, LoadedModel]) -> None:
    """Checks that all models have adaptive filters, and that they share a place of a figure.

    Raises:
        InputError: a model has none, or there is no such place; the message names the models.
    """
    check_filters(models)
    filters = {name: backbone_filters(model) for name, (_, model) in models.items()}
    if not shared_places(filters):
        found = "; ".join(f"{name}: {', '.join(places)}" for name, places in filters.items())
        raise InputError(
            f"adaptive filters are at {found}; but a figure needs a place that all models have "
            "and that is no shortcut"
        )


def place_name(name: str) -> str:
    """ "stem", "res3" or "res3 shortcut" for "bottom_up.res3.0.aa_shortcut"."""
    found = re.search(r"\b(stem|res\d)(?:\.0)?\.aa(_shortcut)?$", name)
    return name if found is None else found[1] + (" shortcut" if found[2] else "")


def shared_places(models: dict[str, dict]) -> list[str]:
    """The places that all models have, in order, without shortcuts."""
    first, *others = models.values()
    shared = [place for place in first if all(place in other for other in others)]
    return [place for place in shared if not place.endswith("shortcut")]


@contextlib.contextmanager
def recorded_inputs(modules: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Yields {name: input of the module's last call}, which fills while the block runs."""
    inputs: dict[str, Tensor] = {}

    def record(name: str) -> Callable:
        return lambda module, arguments: inputs.__setitem__(name, arguments[0].detach())

    handles = [m.register_forward_pre_hook(record(name)) for name, m in modules.items()]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def record_image(model: nn.Module, item: dict) -> tuple[dict[str, Tensor], tuple[int, int]]:
    """Records the inputs of the adaptive filters in a model's backbone for one image.

    Args:
        model: a model of Detectron2 with a ``backbone``, in evaluation mode.
        item: the model's input for an image.

    Returns:
        {place: input, (1, C, H, W)}, and the (height, width) of the padded image.

    Raises:
        InputError: the backbone has no adaptive filters.
    """
    filters = backbone_filters(model)
    with recorded_inputs({"": model.get_submodule("backbone"), **filters}) as inputs:
        model([item])
    height, width = inputs.pop("").shape[-2:]
    return {place: inputs[place] for place in filters}, (height, width)


def over_image(grid: Tensor, padded: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Interpolates values on a feature map's grid to the pixels of the image.

    Location (p, q) of a map of stride s is at pixel (s * p, s * q), the center of the strided
    convolutions and filters. Pixels beyond the last location get its value.

    Args:
        grid: values, (H', W').
        padded: (height, width) of the padded image that led to the map.
        size: (height, width) of the image without padding.

    Returns:
        (height, width) of ``size``, float32.
    """
    lengths = [
        _stride(n, cells) * (cells - 1) + 1 for n, cells in zip(padded, grid.shape, strict=True)
    ]
    fine = F.interpolate(grid[None, None].float(), lengths, mode="bilinear", align_corners=True)
    missing = [max(0, n - length) for n, length in zip(size, lengths, strict=True)]
    fine = F.pad(fine, (0, missing[1], 0, missing[0]), mode="replicate")
    return fine[0, 0, : size[0], : size[1]]


def _stride(length: int, cells: int) -> int:
    """Stride, a power of two.

    A map may be longer than length / stride, since every stage rounds up, and a max pooling of size
    2 in the stem makes it shorter: the nearest power is right. Two or three cells are too few for
    that; they are taken as rounded up.
    """
    ratio = math.log2(length / cells)
    return 2 ** (round(ratio) if cells > 3 else math.ceil(ratio))
