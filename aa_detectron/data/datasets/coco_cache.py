"""Cache of the facts found in large files, so that the next run need not read them again.

No result depends on the cache. A folder that cannot be written is ignored, and so is an entry that
is broken or belongs to another version of the file.
"""

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

from aa_detectron.errors import InputError
from aa_detectron.utils.files import write_json

MIN_BYTES = 1 << 20
"""Least size of a cached file; reading a smaller file takes no longer than the cache."""
MIN_AGE = 2.0
"""Least age in seconds of a cached file; a change of a newer file might keep the time stamp."""


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/aa_detectron``, by default ``~/.cache/aa_detectron``."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root, "aa_detectron")


def recall(path: str, version: int) -> dict | None:
    """The facts that :func:`remember` kept for the current state of the file; None without any."""
    try:
        entry = json.loads(_entry_path(path).read_text(encoding="utf-8"))
        is_valid = entry["file"] == identify(path) and entry["version"] == version
        return entry["found"] if is_valid and isinstance(entry["found"], dict) else None
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def remember(path: str, version: int, found: dict, identity: list) -> None:
    """Keeps the facts found in a file.

    Args:
        path: path of the file.
        version: version of the meaning of ``found``.
        found: facts, as a JSON object.
        identity: result of :func:`identify` before the file was read.
    """
    is_large, is_old = identity[1] >= MIN_BYTES, time.time() - identity[2] / 1e9 >= MIN_AGE
    if not (is_large and is_old and identity == identify(path)):
        return
    target = _entry_path(path)
    entry = {"file": identity, "version": version, "found": found}
    with contextlib.suppress(OSError, InputError):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_json(target, entry)


def identify(path: str) -> list:
    """[real path, bytes, time of the last change in ns, inode] of a file.

    Raises:
        OSError: the file does not exist.
    """
    status = os.stat(path)
    return [os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ino]


def _entry_path(path: str) -> Path:
    real = os.path.realpath(path).encode("utf-8", "surrogatepass")
    return cache_folder() / f"coco-{hashlib.blake2b(real, digest_size=16).hexdigest()}.json"
