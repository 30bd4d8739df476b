"""Finds out which ResNet a set of weights belongs to, by names and shapes."""

import re
from collections.abc import Mapping
from typing import Any

from aa_detectron.errors import InputError
from aa_detectron.layers.build import config_key
from aa_detectron.modeling.build import NUM_BLOCKS

from .fit import Weights, is_filter, shape_in_words

_PREFIXES = r"(?:backbone\.(?:bottom_up\.)?|roi_heads\.)?"
_PREDICTORS = [f"{place}.aa.predictor.weight" for place in ("stem", "res3.0", "res4.0", "res5.0")]
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


def describe_filters(weights: Weights, known: Mapping[str, Any]) -> dict[str, Any]:
    """Derives fields of :class:`~aa_detectron.layers.FilterOptions` from weights.

    Filters without weights look the same as no filters, and one place with an adaptive filter looks
    the same as all of them.

    Args:
        weights: weights of a ResNet, by names without a prefix; fixed filters are named "filt".
        known: options that the checkpoint contains, as {config key: value}.

    Raises:
        InputError: a predictor or a fixed filter has an unexpected shape.
    """
    if "stem.aa.filt" in weights:
        return {"name": "blur", "kernel_size": _shape(weights, "stem.aa.filt")[-1]}
    predictor = next((name for name in _PREDICTORS if name in weights), None)
    if predictor is None:
        return {"name": "none"}
    logits, _, _, conv_size = _shape(weights, predictor)
    kernel_size = known.get(config_key("kernel_size"))
    if type(kernel_size) is not int or kernel_size < 1 or logits % kernel_size**2:
        kernel_size = conv_size
    return {
        "name": "adaptive",
        "kernel_size": kernel_size,
        "groups": logits // kernel_size**2,
        "norm": _norm({name for name in weights if is_filter(name)}),
        "predictor_groups": known.get(config_key("predictor_groups"), 1),
        "predictor_kernel": conv_size,
    }


def config_of(resnet: dict[str, Any], filters: dict[str, Any]) -> dict[str, Any]:
    """Turns a description into {config key: value}.

    Args:
        resnet: arguments that :func:`describe_resnet` has returned.
        filters: fields that :func:`describe_filters` has returned.
    """
    keys = {f"MODEL.RESNETS.{key.upper()}": value for key, value in resnet.items()}
    classes = keys.pop("MODEL.RESNETS.NUM_CLASSES")
    if keys["MODEL.RESNETS.NORM"] == "BN":
        del keys["MODEL.RESNETS.NORM"]  # the weights of FrozenBN and SyncBN look the same
    if classes is not None:
        keys["MODEL.CLASSIFIER.NUM_CLASSES"] = classes
    if filters["name"] != "none":
        keys["MODEL.ANTIALIAS.NAME"] = filters["name"]
        for key in {"kernel_size", "groups"} & filters.keys():
            keys[f"MODEL.ANTIALIAS.{key.upper()}"] = filters[key]
    return keys


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
