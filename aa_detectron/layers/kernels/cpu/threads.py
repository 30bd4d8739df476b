"""Compiled loops in PyTorch's own threads.

PyTorch's threads keep spinning for a while after each operator, so threads of another pool would
have to wait for them. PyTorch's wheels contain GNU's OpenMP, and this file calls the function that
GNU's OpenMP provides for compiled code.
"""

import ctypes
import os

import torch
from torch import Tensor

LIBRARY = "libgomp.so.1"


def _loaded_library() -> ctypes.CDLL | None:
    """Returns GNU's OpenMP if this process has loaded it."""
    try:
        return ctypes.CDLL(LIBRARY, mode=getattr(os, "RTLD_NOLOAD", 0))
    except OSError:
        return None


_openmp = _loaded_library()
AVAILABLE = _openmp is not None
"""Whether this process has GNU's OpenMP."""


def run_in_threads(address: int, tensors: list[Tensor], sizes: list[int]) -> None:
    """Calls ``void f(void **)`` in each of ``torch.get_num_threads()`` threads and waits for all.

    Args:
        address: address of the function. It finds its part of the work by ``omp_get_thread_num``
            and ``omp_get_num_threads``.
        tensors: tensors; the function's argument has a pointer to the data of each of them.
        sizes: numbers; the last pointer in the function's argument points to them, as int64.

    Raises:
        RuntimeError: this process has no GNU OpenMP, see ``AVAILABLE``.
    """
    if _openmp is None:
        raise RuntimeError(f"{LIBRARY} is not loaded")
    numbers = (ctypes.c_int64 * len(sizes))(*sizes)
    pointers = [tensor.data_ptr() for tensor in tensors] + [ctypes.addressof(numbers)]
    argument = (ctypes.c_void_p * len(pointers))(*pointers)
    _openmp.GOMP_parallel(ctypes.c_void_p(address), argument, torch.get_num_threads(), 0)
