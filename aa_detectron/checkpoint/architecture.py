"""Finds out which ResNet a set of weights belongs to, by names and shapes."""

import math
import re
from collections.abc import Sequence
from typing import Any

from aa_detectron.errors import InputError
from aa_detectron.modeling.build import NUM_BLOCKS
from aa_detectron.modeling.filter_names import is_filter

from .fit import Weights, shape_in_words

_PREFIXES = r"(?:backbone\.(?:bottom_up\.)?|roi_heads\.)?"
_PLACES = ("stem", "res3.0", "res4.0", "res5.0")
_RESNET_PART = re.compile(_PREFIXES + r"((?:stem|res[2-5]|linear)\..+)")


def resnet_part(weights: Weights) -> dict[str, str]:
    """Finds the weights of the ResNet, which may be part of a detector's backbone and heads.

    Args:
        weights: weights of a ResNet or a detector, in Detectron2's names.

    Returns:
        {name without the prefix: name}.
    """
    matches = [_RESNET_PART.fullmatch(name) for name in weights]
    return {match[1]: match[0] for match in matches if match}


def describe_resnet(weights: Weights) -> dict[str, Any]:
    """Derives the arguments of :func:`~aa_detectron.modeling.build.build_resnet` from weights.

    The filters are left out, see :func:`describe_filters`.

    Args:
        weights: weights of a ResNet, by names without a prefix.

    Raises:
        InputError: a weight is missing or has an unexpected shape, or no ResNet has these blocks.
    """
    is_bottleneck = "res2.0.conv3.weight" in weights
    stem_type = "deeplab" if "stem.conv3.weight" in weights else "basic"
    last = {"basic": "stem.conv1.weight", "deeplab": "stem.conv3.weight"}[stem_type]
    stem_out_channels = _shape(weights, last)[0]
    described: dict[str, Any] = {
        "depth": _depth(weights, is_bottleneck),
        "stem_type": stem_type,
        "norm": _norm({name for name in weights if not is_filter(name)}),
        "stem_out_channels": stem_out_channels,
        "res2_out_channels": stem_out_channels,
        "num_classes": None,
    }
    if is_bottleneck:
        described["res2_out_channels"] = _shape(weights, "res2.0.conv3.weight")[0]
        channels = _shape(weights, "res2.0.conv1.weight")[0]
        width = _shape(weights, "res2.0.conv2.weight")[1]
        if channels % width:
            raise InputError(f"res2.0.conv2.weight has groups of {width} for {channels} channels")
        described["width_per_group"], described["num_groups"] = width, channels // width
    if "linear.weight" in weights:
        described["num_classes"] = _shape(weights, "linear.weight", 2)[0]
    return described


def describe_filters(weights: Weights) -> dict[str, Any]:
    """Derives fields of :class:`~aa_detectron.layers.FilterOptions` from weights.

    Filters without weights look the same as no filters, and one place with an adaptive filter looks
    the same as all of them. The filters are as large as the predictor's conv where this fits the
    number of logits, else of the smallest size that fits.

    Args:
        weights: weights of a ResNet, by names without a prefix; fixed filters are named "filt".

    Raises:
        InputError: a predictor or a fixed filter has an unexpected shape.
    """
    if "stem.aa.filt" in weights:
        return {"name": "blur", "kernel_size": _shape(weights, "stem.aa.filt")[-1]}
    place = next((place for place in _PLACES if _predictor(place) in weights), None)
    if place is None:
        return {"name": "none"}
    logits, depth, _, conv_size = _shape(weights, _predictor(place))
    channels = _filtered_channels(weights, place)
    kernel_size = _kernel_size(logits, conv_size, channels)
    found = {
        "name": "adaptive",
        "kernel_size": kernel_size,
        "groups": logits // kernel_size**2,
        "norm": _norm({name for name in weights if is_filter(name)}),
    }
    if conv_size != kernel_size and conv_size % 2:
        found["predictor_kernel"] = conv_size
    if depth < channels:
        found["predictor_groups"] = channels // depth
    return found


def adaptive_places(weights: Weights) -> tuple[bool, ...]:
    """Tells of stem, res3, res4 and res5 whether each has a predictor of filters."""
    return tuple(_predictor(place) in weights for place in _PLACES)


def config_of(
    resnet: dict[str, Any], filters: dict[str, Any], is_adaptive: Sequence[bool]
) -> dict[str, Any]:
    """Turns a description into {config key: value}.

    Args:
        resnet: arguments that :func:`describe_resnet` has returned.
        filters: fields that :func:`describe_filters` has returned.
        is_adaptive: what :func:`adaptive_places` has returned. The name of the filters is left out
            where some places have none, since these may have filters without weights.
    """
    keys = {f"MODEL.RESNETS.{key.upper()}": value for key, value in resnet.items()}
    classes = keys.pop("MODEL.RESNETS.NUM_CLASSES")
    if keys["MODEL.RESNETS.NORM"] == "BN":
        del keys["MODEL.RESNETS.NORM"]  # the weights of FrozenBN and SyncBN look the same
    if classes is not None:
        keys["MODEL.CLASSIFIER.NUM_CLASSES"] = classes
    if filters["name"] != "none":
        if len(set(is_adaptive)) == 1:
            keys["MODEL.ANTIALIAS.NAME"] = filters["name"]
        for key in filters.keys() - {"name", "norm"}:
            keys[f"MODEL.ANTIALIAS.{key.upper()}"] = filters[key]
    return keys


def _predictor(place: str) -> str:
    return f"{place}.aa.predictor.weight"


def _filtered_channels(weights: Weights, place: str) -> int:
    """Returns the number of channels that the filter of a stem or residual path has."""
    is_deeplab = place == "stem" and "stem.conv3.weight" in weights
    return _shape(weights, f"{place}.conv{3 if is_deeplab else 1}.weight")[0]


def _kernel_size(logits: int, conv_size: int, channels: int) -> int:
    """Returns a size of filters that makes so many logits for groups of so many channels."""
    for k in (conv_size, *range(3, math.isqrt(logits) + 1, 2)):
        is_legal = k >= 3 and k % 2 == 1
        if is_legal and logits % k**2 == 0 and channels % (logits // k**2) == 0:
            return k
    return conv_size


def _norm(names: set[str]) -> str:
    """Returns the norm that has weights of these names."""
    if any(name.endswith(".norm.running_var") for name in names):
        return "BN"
    return "GN" if any(name.endswith(".norm.weight") for name in names) else ""


def _depth(weights: Weights, is_bottleneck: bool) -> int:
    stages = [{n.split(".")[1] for n in weights if n.startswith(f"res{s}.")} for s in range(2, 6)]
    counts = tuple(len(blocks) for blocks in stages if blocks)
    for depth, blocks in NUM_BLOCKS.items():
        if (depth >= 50) == is_bottleneck and blocks[: len(counts)] == counts:
            return depth
    kind = "bottleneck" if is_bottleneck else "basic"
    raise InputError(
        f"its stages have {counts} {kind} blocks, unlike every ResNet of depth "
        + ", ".join(map(str, NUM_BLOCKS))
    )


def _shape(weights: Weights, name: str, dimensions: int = 4) -> tuple[int, ...]:
    if name not in weights:
        raise InputError(f"{name} is missing")
    shape = tuple(weights[name].shape)
    if len(shape) != dimensions or 0 in shape:
        raise InputError(f"{name} is {shape_in_words(shape)}, but must have {dimensions} axes")
    return shape
