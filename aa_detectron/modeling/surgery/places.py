"""The layers of a model that downsample, and the place of each filter."""

import functools
from typing import NamedTuple

from torch import nn
from torch.nn.modules.utils import _pair

from ..filter_names import INPUT, OUTPUT
from .chains import Chains
from .graph import End
from .hooks import filter_input, filter_output, filter_pool
from .report import Place, Plan, describe, is_lowpass, is_strided
from .resnets import is_of_resnet, places_of_resnet
from .without_rule import layer_without_rule

_IMAGE_CHANNELS = 4
"""Maximum number of channels of a map that counts as an image."""
_UNKNOWN = ("DeformConv", "ModulatedDeformConv", "DeformConv2d", "LPPool2d")
"""Names of the classes of strided layers whose neighbors are left alone with them."""
_NO_RULE = "no rule for this layer"


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
    """Finds the layers that downsample; the model is not changed.

    Args:
        model: any model.
        choice: layers that are filtered on request only.

    Returns:
        plans, in the order of the model's modules. Pooling layers have ``channels`` 0, since they
        have no weights that tell their number of channels.
    """
    chains = Chains(model)
    names = {module: name for name, module in model.named_modules()}
    unknown = _beside_unknown_layers(model)
    plans: list[Plan] = []
    whole: tuple[str, ...] = ()  # blocks that are dealt with as a whole, and their submodules
    for name, module in model.named_modules():
        if f"{name}.".startswith(whole):
            continue
        if is_lowpass(module):
            whole += (f"{name}." if name else "",)
        elif is_of_resnet(module):
            whole += (f"{name}." if name else "",)
            plans += places_of_resnet(module, name)
        elif module in unknown:
            plans.append(_left_alone(name, module, _NO_RULE))
        elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d) and is_strided(module):
            plans.append(_pool(name, module))
        elif isinstance(module, nn.Conv2d) and is_strided(module):
            taken = {plan.place.filter_name for plan in plans}
            plans.append(_conv(name, module, choice, chains, names, taken))
        elif layer := layer_without_rule(module):
            plans.append(Plan(Place(name or "model", layer, f"left alone: {_NO_RULE}")))
    functions = [
        Plan(Place(name or "model", function, "left alone: not a module"))
        for name, function in chains.functions_without_rule()
        if not f"{name}.".startswith(whole)
    ]
    return plans + functions


def _conv(
    name: str,
    conv: nn.Conv2d,
    choice: Choice,
    chains: Chains,
    names: dict[nn.Module, str],
    taken: set[str],
) -> Plan:
    kernel, stride = conv.kernel_size, conv.stride
    if stride[0] != stride[1]:
        return _left_alone(name, conv, "a filter has one stride")
    if not chains.calls(conv):
        return _left_alone(name, conv, "not called as a module")
    is_point = max(kernel) == 1
    if not is_point and kernel[0] <= stride[0] and kernel[1] <= stride[1]:
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
    elif is_point and conv.padding in ((0, 0), "valid"):
        end = End(conv, True, "before the conv")
    else:
        end = chains.end(conv)
    filter_name = _filter_name(names[end.host], end)
    if filter_name in taken or hasattr(end.host, filter_name.rpartition(".")[2]):
        end = End(conv, False, "behind the conv")
        filter_name = _filter_name(name, end)
        if hasattr(conv, OUTPUT):
            return _left_alone(name, conv, f"it has an attribute {OUTPUT!r} of its own")
    channels = conv.in_channels if end == End(conv, True, end.place) else conv.out_channels
    place = Place(name, describe(conv), end.place, filter_name, channels, stride[0])
    return Plan(place, functools.partial(_filter_conv, conv, end), is_guarded=True)


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
