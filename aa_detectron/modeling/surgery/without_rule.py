"""Layers and functions that downsample, and for which there is no rule."""

import operator
from typing import Any

from torch import fx, nn
from torch.nn.modules.pooling import _MaxUnpoolNd
from torch.nn.modules.utils import _pair

from .report import describe, is_strided

_POOL_ARGUMENTS = ("x", "kernel_size", "stride")
_CONV_ARGUMENTS = ("x", "weight", "bias", "stride")
_RESIZE_ARGUMENTS = ("x", "size", "scale_factor")
_STRIDED = {
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "boolean_dispatch"), _POOL_ARGUMENTS),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _CONV_ARGUMENTS),
}
"""{name of a function with a stride: names of its arguments}; F.max_pool2d is boolean_dispatch."""


def layer_without_rule(layer: nn.Module) -> str:
    """Describes a layer that downsamples; "" if it does not, or if it is one of its submodules."""
    if isinstance(layer, nn.PixelUnshuffle | nn.FractionalMaxPool2d | nn.FractionalMaxPool3d):
        return type(layer).__name__
    if isinstance(layer, nn.Upsample):
        return type(layer).__name__ if _is_below_one(layer.scale_factor) else ""
    has_kernel = isinstance(getattr(layer, "kernel_size", None), int | tuple | list)
    if not has_kernel or not is_strided(layer) or _upsamples(layer):
        return ""
    _, *submodules = layer.modules()
    return "" if any(map(is_strided, submodules)) else describe(layer)


def function_without_rule(node: fx.Node) -> str:
    """Describes the call of a function or method that downsamples; "" if it does not."""
    if _has_step(node):
        return "slice with a step"
    return f"{node.name.rstrip('_0123456789')}(...)" if _downsamples(node) else ""


def _upsamples(layer: nn.Module) -> bool:
    return getattr(layer, "transposed", False) or isinstance(layer, nn.Fold | _MaxUnpoolNd)


def _is_below_one(factor: Any) -> bool:
    factors = factor if isinstance(factor, tuple | list) else (factor,)
    return any(isinstance(value, int | float) and value < 1 for value in factors)


def _downsamples(node: fx.Node) -> bool:
    name = getattr(node.target, "__name__", node.target)
    if name == "interpolate":
        return _is_below_one(_arguments(node, _RESIZE_ARGUMENTS).get("scale_factor"))
    if name not in _STRIDED:
        return name == "pixel_unshuffle"
    arguments = _arguments(node, _STRIDED[name])
    stride = arguments.get("stride") or arguments.get("kernel_size")
    return isinstance(stride, int | tuple | list) and max(_pair(stride)) > 1


def _arguments(node: fx.Node, names: tuple[str, ...]) -> dict[str, Any]:
    return dict(zip(names, node.args, strict=False)) | node.kwargs


def _has_step(node: fx.Node) -> bool:
    if node.target is not operator.getitem:
        return False
    index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    steps = [part.step for part in index if isinstance(part, slice)]
    return any(isinstance(step, int) and step > 1 for step in steps)
