"""What a comparison's YAML file may hold, and the strict reading of it.

The dataclasses are the one list of keys, types and defaults. Types are not converted: ``output: 3``
or ``pool_seeds: 1`` is more often a slip than a wish. (OmegaConf's structured configs convert both,
take ``seeds: [[1]]`` for integers, and do not name the key where a list stands for a mapping.)
"""

import dataclasses
import os
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any, NoReturn, TypeVar

from fvcore.common.config import CfgNode
from yaml import YAMLError

from aa_detectron.errors import InputError

Schema = TypeVar("Schema")
MAX_SEED = 2**32 - 1
"""Of NumPy's generators."""


def _is_path(found: str) -> bool:
    """Whether the operating system can take it for a path."""
    try:
        os.fsencode(found)
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return bool(found) and "\0" not in found


def are_folders(found: list) -> bool:
    """Whether these are paths, all different."""
    if not all(isinstance(path, str) and _is_path(path) for path in found):
        return False
    return _differ([os.path.abspath(path) for path in found])


def _are_seeds(found: list[int]) -> bool:
    return bool(found) and _differ(found) and all(0 <= seed <= MAX_SEED for seed in found)


def _differ(found: list) -> bool:
    return len(set(found)) == len(found)


def key(legal: str, default=MISSING, *, check: Callable[[Any], bool] = lambda found: True):
    """A key of a file.

    Args:
        legal: the legal values, in words.
        default: value without the key; with MISSING the key is needed. Called if it is a class.
        check: whether a value of the right type is legal.
    """
    kind = "default_factory" if isinstance(default, type) else "default"
    return field(**{kind: default}, metadata={"legal": legal, "check": check}, kw_only=True)


@dataclass(frozen=True)
class Start:
    """A training from whose weights others start."""

    config: str = key("the path of a config", check=_is_path)
    output: str = key("a folder", check=_is_path)
    opts: dict[str, Any] = key("a mapping of config keys", dict)


INHERITED = Start(config="", output="")
"""Stands for the ``start`` of a variant that does not name any: the file's."""


@dataclass(frozen=True)
class Variant:
    """Trainings that differ in their seeds only, or finished runs."""

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
    pool_seeds: bool = key("true (with two or more seeds and variants) or false", False)


KEYS = tuple(f.name for f in dataclasses.fields(Comparison))


def load(path: str) -> dict:
    """A comparison's file with what ``_BASE_`` names merged in, as plain data.

    Raises:
        InputError: a file that cannot be read, or is no mapping.
    """
    kind = f"must be a mapping of {', '.join(KEYS)}"
    try:
        # Safe: tags of Python objects are errors.
        content = CfgNode.load_yaml_with_base(path, allow_unsafe=False)
    except (OSError, YAMLError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{path}: {reason}") from error
    except AssertionError as error:  # fvcore's, of a key that is a mapping in one file only
        raise InputError(f"{path}: {error}") from error
    except RecursionError as error:
        reason = "_BASE_ leads back to the file itself, or lists are nested too deeply"
        raise InputError(f"{path}: {reason}") from error
    except (AttributeError, TypeError) as error:  # fvcore's, for what is no mapping
        raise InputError(f"{path}: {kind}; so must the file that _BASE_ names") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: {kind}")
    return content


def check(schema: type[Schema], content, path: str) -> Schema:
    """Plain data as a dataclass.

    Args:
        schema: one of the dataclasses of this module.
        content: what :func:`load` has read.
        path: names the file in errors.

    Raises:
        InputError: a key that is missing, unknown, or has an illegal value.
    """
    return _Checker(path).read(schema, content, "", "a mapping")


class _Checker:
    """Reads values of annotated types; errors name the file and the key."""

    def __init__(self, path: str):
        self.path = path

    def refuse(self, name: str, found, legal: str) -> NoReturn:
        raise InputError(f"{self.path}: {name or 'the file'} is {found!r}, but must be {legal}")

    def read(self, kind, found, name: str, legal: str):
        """``found`` if it is of the type ``kind``; mappings of a dataclass become one."""
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if kind is Any:
            return found
        if origin is types.UnionType:
            return self._read_union(inner, found, name, legal)
        if type(found) is not (origin or (dict if dataclasses.is_dataclass(kind) else kind)):
            self.refuse(name, found, legal)
        if dataclasses.is_dataclass(kind):
            return self._read_fields(kind, found, name)
        if origin is list:
            if inner[0] is not Any and any(type(item) is not inner[0] for item in found):
                self.refuse(name, found, legal)
        elif origin is dict:
            return self._read_mapping(inner[1], found, name)
        return found

    def _read_union(self, kinds: tuple, found, name: str, legal: str):
        if found is None and types.NoneType in kinds:
            return None
        rest = [kind for kind in kinds if kind is not types.NoneType]
        if type(found) in rest:
            return found
        return self.read(rest[0], found, name, legal)

    def _read_mapping(self, kind, found: dict, name: str) -> dict:
        legal = "a mapping of " + (
            ", ".join(f.name for f in dataclasses.fields(kind))
            if dataclasses.is_dataclass(kind)
            else "config keys"
        )
        if not _differ(list(map(str, found))):  # such as 1 and "1"
            self.refuse(name, found, "a mapping of different names")
        return {
            str(key): self.read(kind, value, f"{name}.{key}", legal) for key, value in found.items()
        }

    def _read_fields(self, schema: type[Schema], found: dict, name: str) -> Schema:
        known = {f.name: f for f in dataclasses.fields(schema)}
        for key in (key for key in found if key not in known):
            where = name or "the file"
            raise InputError(
                f"{self.path}: {where} has the unknown key {key!r}; known are " + ", ".join(known)
            )
        prefix = f"{name}." if name else ""
        for key, declared in known.items():
            needed = declared.default is declared.default_factory is MISSING
            if needed and key not in found:
                raise InputError(f"{self.path}: {prefix}{key} is missing")
        hints = typing.get_type_hints(schema)
        values = {}
        for key, value in found.items():
            legal, is_legal = known[key].metadata["legal"], known[key].metadata["check"]
            values[key] = self.read(hints[key], value, prefix + key, legal)
            if value is not None and not is_legal(value):
                self.refuse(prefix + key, value, legal)
        return schema(**values)
