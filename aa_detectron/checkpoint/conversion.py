"""Converts a checkpoint with the names of any known library to Detectron2's names."""

import dataclasses
import math
import os
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from aa_detectron.errors import InputError
from aa_detectron.layers import BlurPool2d, FilterOptions, binomial_kernel
from aa_detectron.modeling.build import build_resnet

from .architecture import (
    adaptive_places,
    config_of,
    describe_filters,
    describe_resnet,
    resnet_part,
)
from .fit import EXACT, Weights, rule_of_parts
from .namings import FAIR, FAIR_GN, MSRA, NAMINGS, RGB, Naming, matching_namings
from .options import known_options
from .strides import known_stride
from .wrappers import unwrapped
from .writing import replacing_checkpoint

_ERRORS = (ArithmeticError, AssertionError, IndexError, InputError, RuntimeError, ValueError)
"""InputError, and errors of networks of odd widths or of Detectron2's conversion from Caffe2."""
INPUTS = {
    "input_format": "INPUT.FORMAT",
    "pixel_mean": "MODEL.PIXEL_MEAN",
    "pixel_std": "MODEL.PIXEL_STD",
}
"""{name in a checkpoint's notes: config key}, for the format and normalization of images."""


@dataclasses.dataclass(frozen=True)
class Converted:
    """Weights in Detectron2's names, and what is known about them.

    Args:
        naming: convention of the names in the file.
        weights: weights of a ResNet, or of a whole detector with its own prefixes.
        notes: "naming"; "source", the name of the file; the entries of ``INPUTS`` that are known;
            "config", the config of this ResNet as {key: value}.
    """

    naming: Naming
    weights: Weights
    notes: dict[str, Any]


def convert(checkpoint: dict, path: str) -> Converted:
    """Recognizes the names, translates them and compares every weight with the network.

    Args:
        checkpoint: checkpoint that :func:`~aa_detectron.checkpoint.reading.read_checkpoint` has
            returned.
        path: path of the file, for messages and notes.

    Raises:
        InputError: the names are unknown or mixed; a weight is missing, is not in the network or
            has another shape there; or a fixed filter is not binomial.
    """
    try:
        return _convert(checkpoint, os.path.basename(path))
    except _ERRORS as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def _convert(checkpoint: dict, source: str) -> Converted:
    weights = unwrapped(checkpoint["model"], matching_namings)
    naming = _recognize(weights)
    weights, origins = naming.rename(weights)
    full_names = resnet_part(weights)
    rest = weights.keys() - full_names.values()
    if naming.complete and rest:
        raise InputError(f"{naming.name}: {origins[min(rest)]} is not in a ResNet")

    resnet = {name: weights[full] for name, full in full_names.items()}
    described, filters = describe_resnet(resnet), describe_filters(resnet)
    if naming is MSRA:
        naming = _caffe2_naming(described)
    origins = {name: origins[full] for name, full in full_names.items()}
    rule = EXACT if naming.complete else rule_of_parts(resnet)
    is_adaptive = adaptive_places(resnet)
    misfits = rule.misfits(resnet, _expected(described, filters, is_adaptive))
    misfits.sort(key=lambda misfit: misfit.found is None)  # missing weights say less
    wrong = [misfit.in_words(origins.get(misfit.name)) for misfit in misfits]
    wrong = wrong or list(_odd_kernels(resnet, origins))
    if wrong:
        raise InputError(
            f"{naming.name}, ResNet-{described['depth']}: {len(wrong)} weights do not fit, "
            f"the first: {wrong[0]}"
        )
    weights = {name: weight for name, weight in weights.items() if not name.endswith(".filt")}
    notes = {"naming": naming.name, "source": source, **naming.inputs, **known_inputs(checkpoint)}
    notes["config"] = {**config_of(described, filters, is_adaptive), **naming.config}
    notes["config"] |= known_options(checkpoint) | known_stride(checkpoint)
    return Converted(naming, weights, notes)


def _recognize(weights: Weights) -> Naming:
    found = matching_namings(weights)
    if len(found) > 1:
        raise InputError(f"has names of {' and of '.join(naming.name for naming in found)}")
    if not found:
        some = ", ".join(list(weights)[:3]) or "there are none"
        known = ", ".join(naming.name for naming in NAMINGS)
        raise InputError(f"its names ({some}, ...) match no ResNet of {known}")
    return found[0]


def _caffe2_naming(described: dict) -> Naming:
    """Tells the networks apart that all have the names of MSRA's."""
    if described.get("num_groups", 1) > 1:
        return FAIR
    return FAIR_GN if described["norm"] == "GN" else MSRA


def _expected(described: dict, filters: dict, is_adaptive: Sequence[bool]) -> Weights:
    """Returns all weights of the network, as tensors without data; fixed filters are "filt"."""
    lowpass: Any = FilterOptions(**filters).lowpass
    if any(is_adaptive):
        lowpass = [lowpass if has_filter else None for has_filter in is_adaptive]
    with torch.device("meta"):
        network = build_resnet(**described, lowpass=lowpass)
    expected = network.state_dict()
    for name, module in network.named_modules():
        if isinstance(module, BlurPool2d):
            expected[f"{name}.filt"] = module.kernel.expand(module.channels, 1, -1, -1)
    return expected


def _odd_kernels(resnet: Weights, origins: dict[str, str]) -> Iterator[str]:
    for name, kernel in resnet.items():
        if name.endswith(".filt"):
            binomial = binomial_kernel(kernel.shape[-1])
            if not torch.allclose(kernel.float(), binomial, rtol=0, atol=1e-6):
                yield f"{origins[name]} is not the binomial filter"


def known_inputs(checkpoint: dict) -> dict[str, Any]:
    """Returns the entries of ``INPUTS`` that a checkpoint contains."""
    if checkpoint.get("__author__") == "torchvision":  # written by Detectron2's converter
        return RGB
    notes = checkpoint.get("notes")
    return {key: notes[key] for key in INPUTS if key in notes} if isinstance(notes, dict) else {}


def differing_inputs(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """Lists the entries of ``INPUTS`` that both sides have, with different values."""
    return [key for key in ours if key in theirs and not _is_same(theirs[key], ours[key])]


def _is_same(theirs: Any, ours: Any) -> bool:
    if isinstance(ours, str):
        return theirs == ours
    return len(theirs) == len(ours) and all(
        math.isclose(a, b, abs_tol=0.01) for a, b in zip(theirs, ours, strict=True)
    )


def options(notes: dict) -> str:
    """Formats the notes that a config needs, as options for a command line.

    Args:
        notes: notes of a converted checkpoint, see :class:`Converted`.
    """
    keys = {key: notes[name] for name, key in INPUTS.items() if name in notes} | notes["config"]
    return " ".join(f"{key} {shlex.quote(str(value))}" for key, value in keys.items())


def write_checkpoint(converted: Converted, path: str) -> None:
    """Writes a checkpoint that Detectron2 loads into any model with such a ResNet.

    Args:
        converted: weights and notes.
        path: path of the file to write, ending in ".pth".

    Raises:
        InputError: the file cannot be written, or its name does not end in ".pth".
    """
    if not path.endswith(".pth"):
        raise InputError(f"{path}: must end in .pth, by which Detectron2 recognizes the format")
    content = {
        "model": {name: weight.clone() for name, weight in converted.weights.items()},
        "__author__": converted.naming.name,
        "matching_heuristics": True,
        "notes": converted.notes,
    }
    with replacing_checkpoint(path) as temporary:
        torch.save(content, temporary)
