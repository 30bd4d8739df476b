"""The layers of a model that downsample, and the place of each filter."""

import functools
import operator
from typing import NamedTuple

from torch import fx, nn
from torch.nn.modules.utils import _pair

from .graph import End, Graph
from .hooks import INPUT, OUTPUT, filter_input, filter_output, filter_pool
from .report import Place, Plan, describe, is_strided
from .resnets import is_of_resnet, places_of_resnet

_IMAGE_CHANNELS = 4
"""Maximum number of channels of a map that counts as an image."""
_UNKNOWN = ("DeformConv", "ModulatedDeformConv", "DeformConv2d", "LPPool2d", "FractionalMaxPool2d")
"""Names of the classes of strided layers for which there is no rule."""
_POOL_FUNCTIONS = ("max_pool2d", "avg_pool2d", "boolean_dispatch")  # F.max_pool2d is the last one


class Choice(NamedTuple):
    """Layers that are filtered on request only.

    Args:
        stem: whether convs that read the image are filtered.
        patch_embed: whether patch embeddings and patch merging are filtered: convs whose stride is
            not below the side of their kernel.
    """

    stem: bool = False
    patch_embed: bool = False


def find_places(model: nn.Module, choice: Choice) -> list[Plan]:
    """Finds every layer that downsamples; the model is not changed.

    Args:
        model: any model.
        choice: layers that are filtered on request only.

    Returns:
        plans, in the order of the model's modules. Pooling layers have ``channels`` 0, since they
        have no weights that tell their number of channels.
    """
    graph = Graph(model)
    names = {module: name for name, module in model.named_modules()}
    unknown = _beside_unknown_layers(model)
    plans: list[Plan] = []
    whole: tuple[str, ...] = ()  # blocks that are dealt with as a whole, and their submodules
    for name, module in model.named_modules():
        if f"{name}.".startswith(whole):
            continue
        if is_of_resnet(module):
            whole += (f"{name}." if name else "",)
            plans += places_of_resnet(module, name)
        elif module in unknown:
            plans.append(_left_alone(name, module, "no rule for this layer"))
        elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d) and is_strided(module):
            plans.append(_pool(name, module))
        elif isinstance(module, nn.Conv2d) and is_strided(module):
            taken = {plan.place.filter_name for plan in plans}
            plans.append(_conv(name, module, choice, graph, names, taken))
    functions = [
        _function(name, node)
        for name, node in graph.functions
        if _downsamples(node) and not f"{name}.".startswith(whole)
    ]
    return plans + functions


def _conv(
    name: str,
    conv: nn.Conv2d,
    choice: Choice,
    graph: Graph,
    names: dict[nn.Module, str],
    taken: set[str],
) -> Plan:
    kernel, stride = conv.kernel_size, conv.stride
    if stride[0] != stride[1]:
        return _left_alone(name, conv, "a filter has one stride")
    if max(kernel) == 1:
        end = End(conv, True, "before the conv")
    elif kernel[0] <= stride[0] and kernel[1] <= stride[1]:
        if not choice.patch_embed:
            return _left_alone(name, conv, "patch embedding; patch_embed=True filters it")
        place = Place(
            name,
            describe(conv),
            "before the conv, at stride 1",
            f"{name}.{INPUT}".removeprefix("."),
            conv.in_channels,
        )
        return Plan(place, functools.partial(filter_input, conv))
    elif conv.in_channels <= _IMAGE_CHANNELS and not choice.stem:
        return _left_alone(name, conv, "reads the image; stem=True filters it")
    else:
        end = graph.chain_end(conv)
    filter_name = _filter_name(names[end.host], end)
    if filter_name in taken:
        end = End(conv, False, "behind the conv")
        filter_name = _filter_name(name, end)
    channels = conv.in_channels if max(kernel) == 1 else conv.out_channels
    place = Place(name, describe(conv), end.place, filter_name, channels, stride[0])
    return Plan(place, functools.partial(_filter_conv, conv, end))


def _filter_name(host: str, end: End) -> str:
    return f"{host}.{INPUT if end.is_input else OUTPUT}".removeprefix(".")


def _filter_conv(conv: nn.Conv2d, end: End, lowpass: nn.Module) -> None:
    conv.stride = (1, 1)
    (filter_input if end.is_input else filter_output)(end.host, lowpass)


def _pool(name: str, pool: nn.MaxPool2d | nn.AvgPool2d) -> Plan:
    rows, columns = _pair(pool.stride)
    if rows != columns:
        return _left_alone(name, pool, "a filter has one stride")
    if getattr(pool, "return_indices", False):
        return _left_alone(name, pool, "returns indices of its input")
    filter_name = f"{name}.{OUTPUT}".removeprefix(".")
    place = Place(name, describe(pool), "behind the pool at stride 1", filter_name, 0, rows)
    return Plan(place, functools.partial(filter_pool, pool))


def _function(name: str, node: fx.Node) -> Plan:
    function = "slice with a step" if _has_step(node) else f"{node.name.rstrip('_0123456789')}(...)"
    return Plan(Place(name or "model", function, "left alone: not a module"))


def _downsamples(node: fx.Node) -> bool:
    if _has_step(node):
        return True
    if getattr(node.target, "__name__", node.target) not in _POOL_FUNCTIONS:
        return False
    arguments = dict(zip(("x", "kernel_size", "stride"), node.args, strict=False)) | node.kwargs
    stride = arguments.get("stride") or arguments.get("kernel_size")
    return isinstance(stride, int | tuple | list) and max(_pair(stride)) > 1


def _has_step(node: fx.Node) -> bool:
    if node.target is not operator.getitem:
        return False
    index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    steps = [part.step for part in index if isinstance(part, slice)]
    return any(isinstance(step, int) and step > 1 for step in steps)


def _left_alone(name: str, layer: nn.Module, reason: str) -> Plan:
    return Plan(Place(name, describe(layer), f"left alone: {reason}"))


def _beside_unknown_layers(model: nn.Module) -> set[nn.Module]:
    """Finds strided layers without a rule, and the convs that predict a deformable conv's offsets.

    These have the same stride and stand beside it.
    """
    found: set[nn.Module] = set()
    for parent in model.modules():
        strided = [child for child in parent.children() if is_strided(child)]
        unknown = [child for child in strided if type(child).__name__ in _UNKNOWN]
        if unknown:
            kernel = _pair(unknown[0].kernel_size)
            found |= {
                child
                for child in strided
                if child in unknown
                or (isinstance(child, nn.Conv2d) and child.kernel_size == kernel)
            }
    return found
