"""Names of weights that were saved inside of other modules."""

import re
from collections.abc import Callable

from .fit import Weights

PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")
"""Of DistributedDataParallel, torch.compile, and LightningModules and the like."""
_HEAD = re.compile(rf"^((?:{'|'.join(map(re.escape, PREFIXES[:-1]))})*)head\.fc\.")
"""Prefix of the last layer of a classifier of mmpretrain, whose other layers are in "backbone."."""
_COUNTER = "n_averaged"
"""Name of the only weight that AveragedModel adds to the averaged weights."""


def unwrapped(weights: Weights, are_known: Callable[[Weights], object]) -> Weights:
    """Removes prefixes of wrapping modules, as many as are in the way of known names.

    A prefix is removed only if all names have it: "backbone." is part of the names in a detector.
    The last layer of mmpretrain's classifiers, "head.fc", counts as "backbone.fc".

    Args:
        weights: weights of a file.
        are_known: whether weights have names that can be used.

    Returns:
        Weights with known names; the same weights where no number of prefixes leads to any.
    """
    if are_known(weights):
        return weights
    inner = {
        _HEAD.sub(r"\1backbone.fc.", name): weight
        for name, weight in weights.items()
        if name != _COUNTER
    }
    while prefix := next((p for p in PREFIXES if _all_start(inner, p)), None):
        inner = {name.removeprefix(prefix): weight for name, weight in inner.items()}
        if are_known(inner):
            return inner
    return weights


def _all_start(weights: Weights, prefix: str) -> bool:
    return bool(weights) and all(name.startswith(prefix) for name in weights)
