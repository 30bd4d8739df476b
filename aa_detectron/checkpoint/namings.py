"""The names that libraries give to the weights of a ResNet, and the images that they expect.

All names are translated to Detectron2's: "stem.conv1.weight", "res2.0.conv1.norm.weight",
"res2.0.shortcut.weight", "linear.weight", and for our filters "stem.aa.predictor.weight",
"res3.0.aa_shortcut.predictor.norm.weight".
"""

import dataclasses
import re
from collections.abc import Callable, Container
from typing import Any

import torch

from aa_detectron.errors import InputError

from .fit import Weights

RGB = {
    "input_format": "RGB",
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
}
"""Mean and standard deviation of ImageNet, for pixels from 0 to 255."""
MSRA_BGR = {
    "input_format": "BGR",
    "pixel_mean": [103.53, 116.28, 123.675],
    "pixel_std": [1.0, 1.0, 1.0],
}

_TORCHVISION = (
    (r"^(conv1|bn1)\b", r"stem.\1"),
    (r"^layer(\d)\.", lambda match: f"res{int(match[1]) + 1}."),
    (r"\bbn(\d)\b", r"conv\1.norm"),
    (r"\bdownsample\.0\b", "shortcut"),
    (r"\bdownsample\.1\b", "shortcut.norm"),
    (r"^fc\b", "linear"),
)


def _filters_first(conv: int) -> tuple:
    """Rules for files in which a filter is the first member of a sequence.

    The module that the filter was added to is the second member.

    Args:
        conv: number of a block's last conv, which has the filter before it.
    """
    return (
        (r"^maxpool\.1\.", "stem.aa."),
        (rf"^(layer[2-4]\.0)\.conv{conv}\.0\.", r"\1.aa."),
        (rf"^(layer[2-4]\.0)\.conv{conv}\.1\.", rf"\1.conv{conv}."),
        (r"^(layer[2-4]\.0)\.downsample\.0\.", r"\1.aa_shortcut."),
        # Here downsample.1 is the conv; in torchvision it is the norm.
        (r"^(layer[2-4]\.0\.downsample)\.([12])\.", lambda m: f"{m[1]}.{int(m[2]) - 1}."),
    )


def _filters_of_surgery(conv: int) -> tuple:
    """Rules for the filters of :func:`~aa_detectron.modeling.surgery.antialias`.

    Args:
        conv: number of a block's last conv, whose input is filtered.
    """
    return (
        (r"^maxpool\.aa\.", "stem.aa."),
        (rf"^(layer[2-4]\.0)\.(?:conv{conv}\.aa_input|act{conv - 1}\.aa)\.", r"\1.aa."),
        (r"^(layer[2-4]\.0)\.downsample\.0\.aa_input\.", r"\1.aa_shortcut."),
    )


_PREDICTORS = (
    (r"\b(aa|aa_shortcut)\.conv\.", r"\1.predictor."),
    (r"\b(aa|aa_shortcut)\.bn\.", r"\1.predictor.norm."),
)
_STEM_OF_DETECTION = (
    (r"^resnet\.stem\.downsample\.", "maxpool.1."),
    (r"^resnet\.(stem\.)?", ""),
)


def _substitute(weights: Weights, rules: tuple) -> tuple[Weights, dict[str, str]]:
    """Applies the rules, one after the other, to each name; see ``Naming.rename``."""
    origins: dict[str, str] = {}
    for origin in weights:
        name = origin
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if name in origins:
            raise InputError(f"{origins[name]} and {origin} are the same weight")
        origins[name] = origin
    return {name: weights[origin] for name, origin in origins.items()}, origins


def _from_torchvision(weights: Weights) -> tuple[Weights, dict[str, str]]:
    """Translates plain networks, and networks that ``antialias`` has filtered."""
    return _substitute(weights, _filters_of_surgery(_last_conv(weights)) + _TORCHVISION)


def _from_filtered(weights: Weights) -> tuple[Weights, dict[str, str]]:
    """Translates Zhang's names, and Zou's names for classification."""
    rules = _filters_first(_last_conv(weights)) + _TORCHVISION + _PREDICTORS
    return _substitute(weights, rules)


def _last_conv(weights: Weights) -> int:
    """Returns the number of a block's last conv."""
    return 3 if "layer1.0.conv3.weight" in weights else 2


def _from_zou_detection(weights: Weights) -> tuple[Weights, dict[str, str]]:
    plain, outer = _substitute(weights, _STEM_OF_DETECTION)
    renamed, inner = _from_filtered(plain)
    return renamed, {name: outer[origin] for name, origin in inner.items()}


def _from_msra(weights: Weights) -> tuple[Weights, dict[str, str]]:
    """Runs Detectron2's conversion, and adds mean 0 and variance 1 for folded norms."""
    from detectron2.checkpoint.c2_model_loading import convert_c2_detectron_names

    weights = dict(weights)
    for name in [name for name in weights if name.endswith("_bn_s")]:
        scale = weights[name]
        weights.setdefault(f"{name[:-1]}rm", torch.zeros_like(scale))
        weights.setdefault(f"{name[:-1]}riv", torch.ones_like(scale))
    weights, origins = convert_c2_detectron_names(weights)
    weights, inner = _substitute(weights, ((r"^fc1000\.", "linear."),))
    return weights, {name: origins.get(origin, origin) for name, origin in inner.items()}


def _from_detectron2(weights: Weights) -> tuple[Weights, dict[str, str]]:
    """Removes the prefix of a classifier trained here; a whole detector keeps its names."""
    rules = ((r"^stem\.fc\.", "linear."),)  # the name that Detectron2's converter writes
    if CLASSIFIER in weights:
        rules = ((r"^backbone\.", ""),)
    return _substitute(weights, rules)


CLASSIFIER = "backbone.linear.weight"
"""Name by which a classifier trained here is recognized; its backbone can be used elsewhere."""


@dataclasses.dataclass(frozen=True)
class Naming:
    """A convention of names.

    Args:
        name: name of the convention, for the notes of checkpoints and for messages.
        signatures: names of weights that no other convention has.
        rename: function that returns the weights in Detectron2's names, and {Detectron2's name:
            name in the file}. Fixed filters are named "filt".
        inputs: "input_format", "pixel_mean" and "pixel_std" of the images in training.
        config: config, as {key: value}, that follows from the convention.
        complete: whether a file contains a ResNet and nothing else.
    """

    name: str
    signatures: tuple[str, ...]
    rename: Callable[[Weights], tuple[Weights, dict[str, str]]]
    inputs: dict[str, Any]
    config: dict[str, Any]
    complete: bool = True


_PUBLISHED_STEM = {"MODEL.ANTIALIAS.STEM_POOL_SIZE": 2}
_AS_PUBLISHED = {
    **_PUBLISHED_STEM,
    "MODEL.ANTIALIAS.SOFTMAX": "all",
    "MODEL.ANTIALIAS.INIT": "kaiming",
}

# The shortcut of the first block with a stride has another name in each convention.
DETECTRON2 = Naming(
    "Detectron2",
    tuple(f"{p}res3.0.shortcut.weight" for p in ("", "backbone.", "backbone.bottom_up.")),
    _from_detectron2,
    {},
    {},
    complete=False,
)
MSRA = Naming(
    "MSRA (Caffe2)",
    ("res3_0_branch1_w",),
    _from_msra,
    MSRA_BGR,
    {"MODEL.RESNETS.STRIDE_IN_1X1": True},
    complete=False,
)
FAIR = dataclasses.replace(
    MSRA,
    name="FAIR (Caffe2)",
    inputs={**MSRA_BGR, "pixel_std": [57.375, 57.12, 58.395]},
    config={"MODEL.RESNETS.STRIDE_IN_1X1": False},
)
"""ResNeXts, with the same names as the ResNets of MSRA."""
FAIR_GN = dataclasses.replace(FAIR, inputs=MSRA_BGR)
"""ResNets with group norms, such as R-50-GN, with names like those of MSRA."""
TORCHVISION = Naming(
    "torchvision or timm",
    ("layer2.0.downsample.0.weight",),
    _from_torchvision,
    RGB,
    {"MODEL.RESNETS.STRIDE_IN_1X1": False},
)
ZHANG = Naming(
    "Zhang (antialiased-cnns)",
    ("layer2.0.downsample.0.filt",),
    _from_filtered,
    RGB,
    _PUBLISHED_STEM,
)
ZOU = Naming(
    "Zou (classification)",
    ("layer2.0.downsample.0.conv.weight",),
    _from_filtered,
    RGB,
    _AS_PUBLISHED,
)
ZOU_DETECTION = Naming(
    "Zou (maskrcnn-benchmark)",
    ("resnet.layer2.0.downsample.0.conv.weight",),
    _from_zou_detection,
    {**MSRA_BGR, "pixel_mean": [102.9801, 115.9465, 122.7717]},
    _AS_PUBLISHED,
)
NAMINGS = (TORCHVISION, ZHANG, ZOU, ZOU_DETECTION, MSRA, DETECTRON2)


def matching_namings(names: Container[str]) -> list[Naming]:
    """Finds the conventions that a file follows: none, one, or several in a mix.

    The filters of timm's anti-aliased ResNets (resnetblur50, resnetaa50) have no weights. Their
    files have the same names as files of a plain ResNet, and are recognized as such.

    Args:
        names: names of the weights in the file.
    """
    return [naming for naming in NAMINGS if any(s in names for s in naming.signatures)]
