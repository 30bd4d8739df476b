"""Gives the weights of a file names that a model has, or that Detectron2 can match with them."""

import logging
from collections.abc import Iterable

from .conversion import convert, options
from .fit import Weights
from .namings import CLASSIFIER, DETECTRON2, Naming, matching_namings
from .wrappers import unwrapped

logger = logging.getLogger(__name__)


def translated(loaded: dict, path: str, expected: Weights, resnets: tuple[str, ...]) -> dict:
    """Translates names of other libraries, unless the model itself has them.

    Args:
        loaded: checkpoint that :func:`~aa_detectron.checkpoint.reading.read_checkpoint` has
            returned.
        path: path of the file, for messages and notes.
        expected: state of the model.
        resnets: prefixes of the names of the weights in the model's ResNets.

    Returns:
        Checkpoint; with "matching_heuristics" if Detectron2 has to match the names.

    Raises:
        InputError: the weights have the names of another library, and do not form a ResNet.
    """
    weights = unwrapped(
        loaded["model"], lambda w: not w.keys().isdisjoint(expected) or matching_namings(w)
    )
    loaded, namings = {**loaded, "model": weights}, matching_namings(weights)
    if namings in ([], [DETECTRON2]):
        return _for_the_backbone(loaded, expected, resnets)
    own = _own_prefixes(namings, weights, expected)
    if own == {""}:
        return loaded
    if own:  # such as a torchvision network as the backbone of the model
        weights = {f"{prefix}{name}": w for prefix in own for name, w in weights.items()}
        return {**loaded, "model": weights}
    converted = convert(loaded, path)
    notes = converted.notes
    logger.info(f"{path}: names of {notes['naming']}, {options(notes)}")
    loaded = {"model": converted.weights, "matching_heuristics": True, "notes": notes}
    return _for_the_backbone(loaded, expected, resnets)


def _own_prefixes(namings: list[Naming], weights: Weights, expected: Iterable[str]) -> set[str]:
    """Returns the prefixes with which the model itself has names of these conventions."""
    signatures = {s for naming in namings for s in naming.signatures if s in weights}
    return {
        name.removesuffix(signature)
        for name in expected
        for signature in signatures
        if f".{name}".endswith(f".{signature}")
    }


def _for_the_backbone(loaded: dict, expected: Weights, resnets: tuple[str, ...]) -> dict:
    """Prepares the weights of a ResNet or classifier for Detectron2's matching of names."""
    weights = loaded["model"]
    is_classifier = CLASSIFIER in weights and CLASSIFIER not in expected
    if not is_classifier and "stem.conv1.weight" not in weights:
        return loaded
    weights, _ = DETECTRON2.rename(weights)
    if not any(f"{prefix}linear.weight" in expected for prefix in resnets):
        # Detectron2 could match them with another layer of this name.
        weights = {name: w for name, w in weights.items() if not name.startswith("linear.")}
    return {**loaded, "model": weights, "matching_heuristics": True}
