"""Options of the filters that weights were trained with, in the notes of a checkpoint."""

from collections.abc import Mapping
from typing import Any

_PREFIX = "MODEL.ANTIALIAS."
_OF_BLUR = ("NAME", "KERNEL_SIZE", "PADDING_MODE", "STEM_POOL_SIZE", "DILATED")
_OF_ADAPTIVE = (*_OF_BLUR, "GROUPS", "ADAPTIVITY", "SOFTMAX", "INIT")
_OF = {"none": ("NAME",), "blur": _OF_BLUR}
"""{name of a filter: options that affect the output}; all options for other filters."""


def filter_options(node: Mapping) -> dict[str, Any]:
    """Returns the options that are saved in a checkpoint, as {config key: value}.

    FREEZE and NORM are left out: the output of a network does not depend on FREEZE, and NORM
    follows from the weights.

    Args:
        node: ``MODEL.ANTIALIAS`` of a config.
    """
    keys = _OF.get(node["NAME"], _OF_ADAPTIVE)
    return {f"{_PREFIX}{key}": node[key] for key in keys if key in node}


def known_options(checkpoint: dict) -> dict[str, Any]:
    """Returns the options that a checkpoint contains, as {config key: value}.

    Raises:
        ValueError: this package did not write these notes.
    """
    notes = checkpoint.get("notes")
    config = notes.get("config", {}) if isinstance(notes, dict) else {}
    known = {f"{_PREFIX}{key}" for key in _OF_ADAPTIVE}
    if not isinstance(config, dict):
        raise ValueError("the config in its notes is not a dict")
    found = {key: value for key, value in config.items() if key in known}
    for key, value in found.items():
        if not isinstance(value, str | int):
            raise ValueError(f"{key} in its notes is of type {type(value).__name__}")
    return found


def differing(theirs: Mapping, ours: Mapping) -> list[str]:
    """Lists the keys that both sides have, with different values."""
    return [key for key in ours if key in theirs and theirs[key] != ours[key]]
