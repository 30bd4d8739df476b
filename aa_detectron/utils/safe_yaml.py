"""Untrusted YAML files: mappings without tags that run code, and their ``_BASE_`` files."""

import os
import reprlib
from pathlib import Path

import yaml

from aa_detectron.errors import InputError


def read_mapping(path: str | os.PathLike) -> dict:
    """Reads a YAML file that holds a mapping.

    Raises:
        InputError: a file that cannot be read, is not YAML, has a Python tag, or holds no mapping.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, yaml.YAMLError) as error:  # ValueError: not UTF-8, a NUL in the path
        raise InputError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {reprlib.repr(content)}, but must hold a mapping of keys")
    return content


def check_with_bases(path: str | os.PathLike, derived: tuple[Path, ...] = ()) -> dict:
    """Reads a config file and all of its ``_BASE_`` files with :func:`read_mapping`.

    Detectron2 would run the code in tags when it merges the file.

    Args:
        path: config file.
        derived: files whose ``_BASE_`` led to ``path``.

    Returns:
        content of the file itself, without its ``_BASE_`` files.

    Raises:
        InputError: also for a ``_BASE_`` that is no file name, or that forms a cycle.
    """
    file = Path(path).expanduser()
    content = read_mapping(file)
    bases = content.get("_BASE_", [])
    seen = (*derived, file.resolve())
    for base in bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str):
            raise InputError(f"{path}: _BASE_ is {base!r}, but must be the name of a file")
        if base.startswith(("http://", "https://")):
            raise InputError(f"{path}: _BASE_ is {base!r}, but must be a file on this machine")
        following = file.parent / Path(base).expanduser()
        if following.resolve() in seen:
            raise InputError(f"{path}: _BASE_ leads back to {base}")
        try:
            check_with_bases(following, seen)
        except InputError as error:
            raise InputError(f"{path}: _BASE_: {error}") from error
    return content
