"""The keys of a comparison's YAML file, and a strict reader.

The dataclasses are the only list of keys, types and defaults. Types are not converted, because
``output: 3`` or ``pool_seeds: 1`` is usually a mistake. (OmegaConf's structured configs convert
both, accept ``seeds: [[1]]`` as integers, and do not name the key of a list that should be a
mapping.)
"""

import dataclasses
import os
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any, NoReturn, TypeVar

from fvcore.common.config import CfgNode

from aa_detectron.errors import InputError
from aa_detectron.utils.safe_yaml import check_with_bases

Schema = TypeVar("Schema")
MAX_SEED = 2**32 - 1
"""Largest seed of NumPy's generators."""


def _is_path(found: str) -> bool:
    """Whether the operating system accepts the text as a path."""
    try:
        os.fsencode(found)
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return bool(found) and "\0" not in found


def are_folders(found: list) -> bool:
    """Whether all items are paths, and all differ."""
    if not all(isinstance(path, str) and _is_path(path) for path in found):
        return False
    return _differ([os.path.abspath(path) for path in found])


def _are_seeds(found: list[int]) -> bool:
    return bool(found) and _differ(found) and all(0 <= seed <= MAX_SEED for seed in found)


def _differ(found: list) -> bool:
    return len(set(found)) == len(found)


def _are_two(found: list[str]) -> bool:
    return len(found) == 2 and _differ(found)


def key(
    legal: str, default: Any = MISSING, *, check: Callable[[Any], bool] = lambda found: True
) -> Any:
    """A key of a file, as a dataclass field.

    Args:
        legal: description of the legal values.
        default: value if the file does not have the key; a class is called. MISSING makes the key
            required.
        check: function that tells whether a value of the right type is legal.
    """
    kind = "default_factory" if isinstance(default, type) else "default"
    return field(**{kind: default}, metadata={"legal": legal, "check": check}, kw_only=True)


@dataclass(frozen=True)
class Start:
    """A training whose weights other trainings start from."""

    config: str = key("the path of a config", check=_is_path)
    output: str = key("a folder", check=_is_path)
    opts: dict[str, Any] = key("a mapping of config keys", dict)


INHERITED = Start(config="", output="")
"""Default of a variant's ``start``: the ``start`` of the file."""


@dataclass(frozen=True)
class Variant:
    """Trainings that differ only in their seeds, or finished runs."""

    config: str | None = key("the path of a config", None, check=_is_path)
    opts: dict[str, Any] | None = key("a mapping of config keys", None)
    runs: list[Any] | None = key("a list of different folders, one for each seed", None)
    start: Start | None = key("a mapping of config, output, opts, or null", INHERITED)


@dataclass(frozen=True)
class Comparison:
    """A comparison's file."""

    title: str | int | float | None = key("a text", None)
    output: str = key("a folder", check=_is_path)
    seeds: list[int] = key(
        f"a list of different integers of 0 or more, up to {MAX_SEED}", check=_are_seeds
    )
    start: Start | None = key("a mapping of config, output, opts", None)
    opts: dict[str, Any] = key("a mapping of config keys", dict)
    evaluations: dict[str, dict[str, Any]] = key("a mapping of names to config keys", dict)
    variants: dict[str, Variant] = key("one or more variants", check=bool)
    baselines: list[str] | None = key("a list of different variants", None, check=_differ)
    primary: dict[str, list[str]] = key("a mapping of variants to lists of metrics", dict)
    front: list[str] | None = key(
        "a list of two different metrics, such as an accuracy and a consistency",
        None,
        check=_are_two,
    )
    pool_seeds: bool = key("true (with two or more seeds and variants) or false", False)


def load(path: str) -> dict:
    """The content of a comparison's file, merged with the files that ``_BASE_`` names.

    Raises:
        InputError: see :func:`~aa_detectron.utils.safe_yaml.check_with_bases`; or a key is a
            mapping in one file and another value in the other file.
    """
    check_with_bases(path)
    try:
        return CfgNode.load_yaml_with_base(path, allow_unsafe=False)
    except (AssertionError, OSError) as error:  # AssertionError: fvcore's, for such a key
        raise InputError(f"{path}: {error}") from error


def check(schema: type[Schema], content: object, path: str) -> Schema:
    """Converts plain data to a dataclass.

    Args:
        schema: one of the dataclasses of this module.
        content: return value of :func:`load`.
        path: path of the file, for error messages.

    Raises:
        InputError: a key is missing or unknown, or has an illegal value.
    """
    return _Checker(path).read(schema, content, "", "a mapping")


class _Checker:
    """Checks values against annotated types; errors name the file and the key."""

    def __init__(self, path: str):
        self.path = path

    def reject(self, name: str, found: object, legal: str) -> NoReturn:
        raise InputError(f"{self.path}: {name or 'the file'} is {found!r}, but must be {legal}")

    def read(self, kind: Any, found: Any, name: str, legal: str) -> Any:
        """Returns ``found`` if it has the type ``kind``; a dataclass is made from a mapping."""
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if kind is Any:
            return found
        if origin is types.UnionType:
            return self._read_union(inner, found, name, legal)
        if type(found) is not (origin or (dict if dataclasses.is_dataclass(kind) else kind)):
            self.reject(name, found, legal)
        if dataclasses.is_dataclass(kind):
            return self._read_fields(kind, found, name)
        if origin is list:
            if inner[0] is not Any and any(type(item) is not inner[0] for item in found):
                self.reject(name, found, legal)
        elif origin is dict:
            return self._read_mapping(inner[1], found, name)
        return found

    def _read_union(self, kinds: tuple, found: Any, name: str, legal: str) -> Any:
        if found is None and types.NoneType in kinds:
            return None
        rest = [kind for kind in kinds if kind is not types.NoneType]
        if type(found) in rest:
            return found
        return self.read(rest[0], found, name, legal)

    def _read_mapping(self, kind: Any, found: dict, name: str) -> dict:
        legal = "a mapping of " + (
            ", ".join(f.name for f in dataclasses.fields(kind))
            if dataclasses.is_dataclass(kind)
            else "config keys"
        )
        if typing.get_origin(kind) is list:
            legal = "a list of texts"
        if not _differ(list(map(str, found))):  # such as 1 and "1"
            self.reject(name, found, "a mapping of different names")
        return {
            str(key): self.read(kind, value, f"{name}.{key}", legal) for key, value in found.items()
        }

    def _read_fields(self, schema: Any, found: dict, name: str) -> Any:
        known = {f.name: f for f in dataclasses.fields(schema)}
        for key in (key for key in found if key not in known):
            where = name or "the file"
            raise InputError(
                f"{self.path}: {where} has the unknown key {key!r}; known are " + ", ".join(known)
            )
        prefix = f"{name}." if name else ""
        for key, declared in known.items():
            is_required = declared.default is declared.default_factory is MISSING
            if is_required and key not in found:
                raise InputError(f"{self.path}: {prefix}{key} is missing")
        hints = typing.get_type_hints(schema)
        values = {}
        for key, value in found.items():
            legal, is_legal = known[key].metadata["legal"], known[key].metadata["check"]
            values[key] = self.read(hints[key], value, prefix + key, legal)
            if value is not None and not is_legal(value):
                self.reject(prefix + key, value, legal)
        return schema(**values)
