"""Writing of files that are complete or do not exist."""

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from aa_detectron.errors import InputError


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside ``path``, which replaces ``path`` if the block succeeds.

    Raises:
        InputError: the folder cannot be made or written.
    """
    path = Path(path)
    # Unique: another process, perhaps on another machine, may be writing the same file.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


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
