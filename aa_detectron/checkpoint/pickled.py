"""Pickles of arrays and containers, read without running what else they name."""

import collections
import pickle

import numpy as np

_array_from_buffer = np.empty(1).__reduce_ex__(5)[0]
_number = np.float32(0).__reduce__()[0]
_NUMBERS = "?bhilqBHILQefdFD"
"""NumPy's characters of the types that numbers can have."""


_ARRAY = object()
"""For ``numpy.ndarray``, which itself would take a size."""


def _new_array(kind: object, shape: tuple, code: bytes) -> np.ndarray:
    """What NumPy writes before an array's state; never with a size of its own."""
    if kind is not _ARRAY or shape != (0,):
        raise pickle.UnpicklingError("holds an array that NumPy has not written")
    return np.empty(0)


def _old_bytes(*nothing) -> bytes:
    """How protocols below 3 write b""; ``bytes`` itself would take a size."""
    if nothing:
        raise pickle.UnpicklingError("holds bytes that Python has not written")
    return b""


def _encode(text: str, encoding: str) -> bytes:
    """How protocols below 3 write other bytes; some encodings take endless time."""
    if encoding != "latin1":
        raise pickle.UnpicklingError("holds bytes that Python has not written")
    return text.encode("latin1")


_ALLOWED = {
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

SAFE_GLOBALS = [
    *((value, name) for name, value in _ALLOWED.items()),
    *{type(np.dtype(code)) for code in _NUMBERS},
    (np.ndarray, ""),  # may be given a state; no file can name it
]
"""For ``torch.serialization.safe_globals``: training scripts keep NumPy's numbers, too."""


class ArrayUnpickler(pickle._Unpickler):
    """Rejects every global except the ones that arrays are made of.

    In Python, since the one in C allocates memory for whatever number a broken file gives.
    """

    def find_class(self, module: str, name: str):
        try:
            return _ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(needs(f"{module}.{name}")) from None


def needs(name: str) -> str:
    """The reason why a file is rejected that needs something else."""
    return f"needs {name}, but only tensors, arrays and containers are read"
