"""Reads pickles of arrays and containers, and runs no other code that they name."""

import collections
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

_array_from_buffer = np.empty(1).__reduce_ex__(5)[0]
_number = np.float32(0).__reduce__()[0]
_NUMBERS = "?bhilqBHILQefdFD"
"""NumPy's characters for the types of numbers."""
_ARRAY = object()
"""Stands for ``numpy.ndarray``, which a file could call with any size."""


def _new_array(kind: object, shape: tuple, code: bytes) -> np.ndarray:
    """Makes the empty array that NumPy writes before an array's state."""
    if kind is not _ARRAY or shape != (0,):
        raise pickle.UnpicklingError("contains an array that NumPy did not write")
    return np.empty(0)


def _old_bytes(*nothing: object) -> bytes:
    """Makes b"" as protocols below 3 write it; a file could call ``bytes`` with any size."""
    if nothing:
        raise pickle.UnpicklingError("contains bytes that Python did not write")
    return b""


def _encode(text: str, encoding: str) -> bytes:
    """Makes other bytes as protocols below 3 write them; some encodings take endless time."""
    if encoding != "latin1":
        raise pickle.UnpicklingError("contains bytes that Python did not write")
    return text.encode("latin1")


_ALLOWED: dict[str, Any] = {
    "__builtin__.bytes": _old_bytes,
    "_codecs.encode": _encode,
    "collections.OrderedDict": collections.OrderedDict,
    "numpy.dtype": np.dtype,
    "numpy.ndarray": _ARRAY,
}
for _core in ("numpy.core", "numpy._core"):  # the same in NumPy 1 and 2
    _ALLOWED[f"{_core}.multiarray._reconstruct"] = _new_array
    _ALLOWED[f"{_core}.multiarray.scalar"] = _number
    _ALLOWED[f"{_core}.numeric._frombuffer"] = _array_from_buffer

SAFE_GLOBALS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    *((value, name) for name, value in _ALLOWED.items()),
    *{type(np.dtype(code)) for code in _NUMBERS},
    (np.ndarray, ""),  # its state may be set, but no file can name it
]
"""For ``torch.serialization.safe_globals``; training scripts save numbers of NumPy as well."""


class ArrayUnpickler(pickle._Unpickler):
    """Rejects every global except the globals that arrays consist of.

    The base class is the unpickler in Python. The unpickler in C allocates as much memory as a
    broken file asks for.
    """

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(needs(f"{module}.{name}")) from None


def needs(name: str) -> str:
    """Returns the reason why a file that names something else is rejected."""
    return f"needs {name}, but only tensors, arrays and containers are read"
