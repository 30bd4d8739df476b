"""Loops that Numba compiles when they are first used, for PyTorch's threads."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
from numba import njit, types
from numba.core.caching import FunctionCache

from .threads import LIBRARY

Array = np.ndarray
FILES = sorted(Path(__file__).parent.glob("*.py"))
"""The files with loops."""
STAMP = tuple((file.name, file.stat().st_mtime, file.stat().st_size) for file in FILES)
"""State of the files, with which loops are cached."""

llvmlite.binding.load_library_permanently(LIBRARY)
# Any: calls mean something else in a compiled loop than in Python.
thread_number: Any = types.ExternalFunction("omp_get_thread_num", types.int32())
thread_count: Any = types.ExternalFunction("omp_get_num_threads", types.int32())


class _Cache(FunctionCache):
    """Numba's cache. A loop is compiled again where a file is broken or cannot be written."""

    def __init__(self, loop: Callable):
        super().__init__(loop)
        # Numba compares the file of the loop alone, but loops call loops of other files.
        self._cache_file._source_stamp = (self._cache_file._source_stamp, STAMP)

    def load_overload(self, *args: Any) -> Any:
        try:
            return super().load_overload(*args)
        except Exception:  # a broken pickle can end in any of them
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, *args: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(*args)


def compiled(loop: Callable) -> Any:
    # All of fastmath would break pixels that are infinite or not a number.
    loop_of_numba = njit(nogil=True, error_model="numpy", fastmath={"contract"})(loop)
    with contextlib.suppress(RuntimeError):  # no folder for the cache is writable
        setattr(loop_of_numba, "_cache", _Cache(loop))  # noqa: B010  as enable_caching does
    return loop_of_numba
