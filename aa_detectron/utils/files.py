"""Writing of files that are complete or do not exist."""

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aa_detectron.errors import InputError


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside ``path``, which replaces ``path`` if the block succeeds.

    A symbolic link stays, and the file that it points to is replaced.

    Raises:
        InputError: the folder cannot be made or written, or something other than a file is there.
    """
    target = _file_at(path)
    # Unique: another process, perhaps on another machine, may be writing the same file.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def check_can_be_written(path: str | os.PathLike) -> None:
    """Makes the folder of a file that a long computation will write, and tries to write there.

    Raises:
        InputError: see :func:`replacing`.
    """
    target = _file_at(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _file_at(path: str | os.PathLike) -> Path:
    """The path without symbolic links; raises InputError if a folder or a device is there."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        found = "a folder" if target.is_dir() else "no regular file"
        raise InputError(f"{path}: is {found}, but a file is written here")
    return target


def name_stem(name: str) -> str:
    """Unique part of a file name for the name of a dataset or folder.

    A name that is legal in a file name is unchanged; every other name ends in a digest.
    """
    stem = re.sub(r"[^\w.-]+", "_", name.strip("./"))
    if name and stem == name:
        return name
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{stem[-100:]}-{digest}".lstrip("-")


def write_json(path: str | os.PathLike, content: object) -> None:
    """Writes JSON as :func:`replacing` does; NaN, which JSON lacks, becomes null."""
    text = json.dumps(_without_nan(content), indent=None, separators=(",", ":"))
    with replacing(path) as temporary:
        temporary.write_text(text + "\n")


def _without_nan(content: object) -> object:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
