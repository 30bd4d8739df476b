"""Remembers what was found in large files, so that the next run need not read them again.

Nothing depends on it: a folder that cannot be written, or an entry that is broken or of another
version of the file, is passed over.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

MIN_BYTES = 1 << 20
"""Smaller files are read as quickly as looked up."""
MIN_AGE = 2.0
"""Seconds since the last change; below, another change might leave the time stamp as it is."""


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/aa_detectron``, by default in ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root, "aa_detectron")


def recall(path: str, version: int) -> dict | None:
    """What :func:`remember` kept for the file as it is now; None where there is nothing."""
    try:
        entry = json.loads(_entry_path(path).read_text(encoding="utf-8"))
        is_valid = entry["file"] == identify(path) and entry["version"] == version
        return entry["found"] if is_valid and isinstance(entry["found"], dict) else None
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def remember(path: str, version: int, found: dict, identity: list) -> None:
    """Keeps what was found in a file.

    Args:
        path: the file.
        version: of the meaning of ``found``.
        found: JSON.
        identity: of the file before it was read, by :func:`identify`.
    """
    is_large, is_old = identity[1] >= MIN_BYTES, time.time() - identity[2] / 1e9 >= MIN_AGE
    if not (is_large and is_old and identity == identify(path)):
        return
    target = _entry_path(path)
    entry = {"file": identity, "version": version, "found": found}
    with contextlib.suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False) as file:
            json.dump(entry, file)
        os.replace(file.name, target)


def identify(path: str) -> list:
    """[real path, bytes, time of the last change in ns, inode] of a file.

    Raises:
        OSError: the file is not there.
    """
    status = os.stat(path)
    return [os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ino]


def _entry_path(path: str) -> Path:
    real = os.path.realpath(path).encode("utf-8", "surrogatepass")
    return cache_folder() / f"coco-{hashlib.blake2b(real, digest_size=16).hexdigest()}.json"
