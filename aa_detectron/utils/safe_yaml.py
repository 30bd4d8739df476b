"""YAML files of strangers: mappings only, without tags that run code, with their ``_BASE_``."""

import os
import reprlib
from pathlib import Path

import yaml

from aa_detectron.errors import InputError


def read_mapping(path: str | os.PathLike) -> dict:
    """The content of a YAML file.

    Raises:
        InputError: a file that cannot be read, is not YAML, has a tag of Python, or does not hold
            a mapping.
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
    """Reads a config file, and every file that ``_BASE_`` in it names, as :func:`read_mapping`.

    Detectron2 would run the code of tags while it merges the file.

    Args:
        path: the config file.
        derived: the files from which ``_BASE_`` has led here.

    Returns:
        The content of the file itself.

    Raises:
        InputError: also for a ``_BASE_`` that is no file name, or leads back to a file.
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
