"""Options of the filters that weights were trained with, in the notes of a checkpoint."""

from collections.abc import Mapping

_PREFIX = "MODEL.ANTIALIAS."
_OF_BLUR = ("NAME", "KERNEL_SIZE", "PADDING_MODE", "STEM_POOL_SIZE", "DILATED")
_OF_ADAPTIVE = (*_OF_BLUR, "GROUPS", "ADAPTIVITY", "SOFTMAX", "INIT")
_OF = {"none": ("NAME",), "blur": _OF_BLUR}
"""Options that change what a network computes, by name of the filter; others have all of them."""


def filter_options(node: Mapping) -> dict:
    """``MODEL.ANTIALIAS`` as the keys and values that checkpoints keep.

    FREEZE and NORM are left out: what a network computes does not depend on the former, and the
    weights tell about the latter.
    """
    keys = _OF.get(node["NAME"], _OF_ADAPTIVE)
    return {f"{_PREFIX}{key}": node[key] for key in keys if key in node}


def known_options(checkpoint: dict) -> dict:
    """The options that a checkpoint keeps; none in older files.

    Raises:
        ValueError: the notes are not ones that this package writes.
    """
    notes = checkpoint.get("notes")
    config = notes.get("config", {}) if isinstance(notes, dict) else {}
    known = {f"{_PREFIX}{key}" for key in _OF_ADAPTIVE}
    if not isinstance(config, dict):
        raise ValueError("its notes of the config are no dict")
    found = {key: value for key, value in config.items() if key in known}
    for key, value in found.items():
        if not isinstance(value, str | int):
            raise ValueError(f"{key} in its notes is of type {type(value).__name__}")
    return found


def differing(theirs: Mapping, ours: Mapping) -> list[str]:
    """Keys of options that both sides know, with other values."""
    return [key for key in ours if key in theirs and theirs[key] != ours[key]]
