"""Options of the filters that weights were trained with, in the notes of a checkpoint."""

from collections.abc import Mapping
from typing import Any

from aa_detectron.layers.build import KINDS, PASA, config_key
from aa_detectron.layers.per_place import joined_names, names_per_place

_OF_NETWORK = ("NAME", "STEM_POOL_SIZE", "DILATED", "PATCH_EMBED")
_OF_FILTERS = (
    "KERNEL_SIZE",
    "PADDING_MODE",
    "GROUPS",
    "ADAPTIVITY",
    "SOFTMAX",
    "INIT",
    "PREDICTOR_GROUPS",
    "PREDICTOR_SMOOTH",
    "PREDICTOR_KERNEL",
    "SIGMA",
)
"""Options that affect the output of some filter."""
_SMOOTH = config_key("predictor_smooth")


def filter_options(node: Mapping) -> dict[str, Any]:
    """Returns the options that are saved in a checkpoint, as {config key: value}.

    Options that no filter of the network reads are left out. So are FREEZE and NORM: the output of
    a network does not depend on FREEZE, and NORM follows from the weights.

    Args:
        node: ``MODEL.ANTIALIAS`` of a config.
    """
    names = set(names_per_place(node["NAME"])) - {"none"}
    keys = [*_OF_NETWORK, *filter(_read_by(names).__contains__, _OF_FILTERS)] if names else ["NAME"]
    found = {config_key(key): node[key] for key in keys if key in node}
    return without_alias(found)


def without_alias(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the same options with one spelling of ``NAME``, and "adaptive" in place of "pasa".

    Args:
        config: options, as {config key: value}.
    """
    names = names_per_place(config[config_key("name")])
    as_published = {config_key(option): value for option, value in PASA.items()}
    others = _read_by({*names} - {"none"}) & {"SOFTMAX", "INIT"}
    if "pasa" in names and not (others and differing(as_published, config)):
        names = tuple("adaptive" if name == "pasa" else name for name in names)
        config = config | as_published
    return config | {config_key("name"): joined_names(names)}


def _read_by(names: set[str]) -> set[str]:
    """Returns the options that filters read; all options for filters of the user's own."""
    if not names <= KINDS.keys():
        return set(_OF_FILTERS)
    return {option.upper() for name in names for option in KINDS[name].options}


def known_options(checkpoint: dict) -> dict[str, Any]:
    """Returns the options that a checkpoint contains, as {config key: value}.

    Raises:
        ValueError: this package did not write these notes.
    """
    notes = checkpoint.get("notes")
    config = notes.get("config", {}) if isinstance(notes, dict) else {}
    known = {config_key(key) for key in (*_OF_NETWORK, *_OF_FILTERS)}
    if not isinstance(config, dict):
        raise ValueError("the config in its notes is not a dict")
    found = {key: value for key, value in config.items() if key in known}
    for key, value in found.items():
        if not isinstance(value, str | int | float):
            raise ValueError(f"{key} in its notes is of type {type(value).__name__}")
    # Files of older versions lack the option. It leaves no trace in the weights.
    return {_SMOOTH: False} | found if config_key("adaptivity") in found else found


def differing(theirs: Mapping, ours: Mapping) -> list[str]:
    """Lists the keys that both sides have, with different values."""
    return [key for key in ours if key in theirs and theirs[key] != ours[key]]
