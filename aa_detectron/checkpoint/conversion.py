"""From a checkpoint with the names of any known library to one of Detectron2."""

import dataclasses
import os
import shlex
from collections.abc import Iterator

import torch

from aa_detectron.errors import InputError
from aa_detectron.layers import BlurPool2d, FilterOptions, binomial_kernel
from aa_detectron.modeling.build import build_resnet
from aa_detectron.modeling.resnet import FILTERS
from aa_detectron.utils.files import replacing

from .architecture import (
    config_of,
    describe_filters,
    describe_resnet,
    resnet_part,
    shape_in_words,
)
from .namings import FAIR, MSRA, NAMINGS, RGB, Naming, Weights, matching_namings

_EXTENSIONS = {*FILTERS, "conv2_offset"}
_ERRORS = (ArithmeticError, AssertionError, IndexError, InputError, RuntimeError, ValueError)
"""All but InputError are of networks of odd widths, or of Detectron2's conversion from Caffe2."""
INPUTS = {
    "input_format": "INPUT.FORMAT",
    "pixel_mean": "MODEL.PIXEL_MEAN",
    "pixel_std": "MODEL.PIXEL_STD",
}
"""In a checkpoint's notes: what the network was fed with, and the config's keys for that."""


@dataclasses.dataclass(frozen=True)
class Converted:
    """Weights in Detectron2's names, and what is known about them.

    Args:
        naming: of the file.
        weights: of a ResNet alone, or a whole detector with its own prefixes.
        notes: "naming"; "source", the file's name; those of ``INPUTS`` that are known; "config",
            the keys of the config with their values that give this ResNet.
    """

    naming: Naming
    weights: Weights
    notes: dict


def convert(checkpoint: dict, path: str) -> Converted:
    """Recognises the names, translates them and holds every weight against the network.

    Args:
        checkpoint: of :func:`~aa_detectron.checkpoint.reading.read_checkpoint`.
        path: of the file, for messages and notes.

    Raises:
        InputError: unknown or mixed names, a weight of another shape than its network's, one too
            many or too few, a fixed filter that is not the binomial one.
    """
    try:
        return _convert(checkpoint, os.path.basename(path))
    except _ERRORS as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def _convert(checkpoint: dict, source: str) -> Converted:
    naming = _recognise(checkpoint["model"])
    weights, origins = naming.rename(checkpoint["model"])
    full_names = resnet_part(weights)
    rest = weights.keys() - full_names.values()
    if naming.complete and rest:
        raise InputError(f"{naming.name}: {origins[min(rest)]} has no place in a ResNet")

    resnet = {name: weights[full] for name, full in full_names.items()}
    described, filters = describe_resnet(resnet), describe_filters(resnet)
    if naming is MSRA and described.get("num_groups", 1) > 1:
        naming = FAIR
    expected = _expected(described, filters)
    if not naming.complete:
        resnet, expected = _without_extensions(resnet, expected)
    origins = {name: origins[full] for name, full in full_names.items()}
    wrong = list(misfits(resnet, expected, origins)) or list(_odd_kernels(resnet, origins))
    if wrong:
        raise InputError(
            f"{naming.name}, ResNet-{described['depth']}: {len(wrong)} weights do not fit, "
            f"the first: {wrong[0]}"
        )
    weights = {name: weight for name, weight in weights.items() if not name.endswith(".filt")}
    notes = {"naming": naming.name, "source": source, **naming.inputs, **known_inputs(checkpoint)}
    notes["config"] = {**config_of(described, filters), **naming.config}
    return Converted(naming, weights, notes)


def _recognise(weights: Weights) -> Naming:
    found = matching_namings(weights)
    if len(found) > 1:
        raise InputError(f"has names of {' and of '.join(naming.name for naming in found)}")
    if not found:
        some = ", ".join(list(weights)[:3]) or "there are none"
        known = ", ".join(naming.name for naming in NAMINGS)
        raise InputError(f"its names ({some}, ...) are not those of a ResNet of {known}")
    return found[0]


def _expected(described: dict, filters: dict) -> Weights:
    """Names and shapes of all weights, as tensors without data; fixed filters as "filt"."""
    with torch.device("meta"):
        network = build_resnet(**described, lowpass=FilterOptions(**filters).lowpass)
    expected = network.state_dict()
    for name, module in network.named_modules():
        if isinstance(module, BlurPool2d):
            expected[f"{name}.filt"] = module.kernel.expand(module.channels, 1, -1, -1)
    return expected


def _without_extensions(resnet: Weights, expected: Weights) -> tuple[Weights, Weights]:
    """Leaves out stages, offsets and filters that only the one or the other has.

    A detector may lack the last stages or the filters of dilated ones, have deformable convs, or
    filters of the user's own.
    """
    stages = {name.split(".")[0] for name in resnet}
    found = {n: w for n, w in resnet.items() if n in expected or not is_extension(n)}
    expected = {n: w for n, w in expected.items() if n in resnet or not is_extension(n)}
    return found, {n: w for n, w in expected.items() if n.split(".")[0] in stages}


def is_extension(name: str) -> bool:
    """Whether a weight is of a module that no ordinary ImageNet checkpoint has."""
    return not _EXTENSIONS.isdisjoint(name.split("."))


def misfits(found: Weights, expected: Weights, origins: dict | None = None) -> Iterator[str]:
    """What is wrong with weights, one by one in words.

    Args:
        found, expected: compared by name and shape.
        origins: {name of one that is found: what to call it}; None to call it by its name.
    """
    origins = origins or {name: name for name in found}
    for name, weight in found.items():
        if name.endswith("num_batches_tracked"):
            continue  # some have it, some do not, and nothing depends on it
        if name not in expected:
            yield f"{origins[name]} has no place in the network"
        elif weight.shape != expected[name].shape:
            is_, must_be = shape_in_words(weight.shape), shape_in_words(expected[name].shape)
            yield f"{origins[name]} is {is_} and has to be {must_be}"
    for name in expected:
        if name not in found and not name.endswith("num_batches_tracked"):
            yield f"{name} is missing"


def _odd_kernels(resnet: Weights, origins: dict[str, str]) -> Iterator[str]:
    for name, kernel in resnet.items():
        if name.endswith(".filt"):
            binomial = binomial_kernel(kernel.shape[-1])
            if not torch.allclose(kernel.float(), binomial, rtol=0, atol=1e-6):
                yield f"{origins[name]} is not the binomial filter"


def known_inputs(checkpoint: dict) -> dict:
    """Those of ``INPUTS`` that a checkpoint itself tells."""
    if checkpoint.get("__author__") == "torchvision":  # of Detectron2's converter
        return RGB
    notes = checkpoint.get("notes")
    return {key: notes[key] for key in INPUTS if key in notes} if isinstance(notes, dict) else {}


def options(notes: dict) -> str:
    """All of a checkpoint's notes that a config needs, as options for a command line."""
    keys = {key: notes[name] for name, key in INPUTS.items() if name in notes} | notes["config"]
    return " ".join(f"{key} {shlex.quote(str(value))}" for key, value in keys.items())


def write_checkpoint(converted: Converted, path: str) -> None:
    """Writes a checkpoint that Detectron2 loads into any model with such a ResNet.

    Raises:
        InputError: the file cannot be written, or its name does not end in ".pth".
    """
    if not path.endswith(".pth"):
        raise InputError(f"{path}: has to end in .pth, by which Detectron2 knows the format")
    content = {
        "model": {name: weight.clone() for name, weight in converted.weights.items()},
        "__author__": converted.naming.name,
        "matching_heuristics": True,
        "notes": converted.notes,
    }
    with replacing(path) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # torch's own for a full disk
            raise OSError(str(error).splitlines()[0]) from error
