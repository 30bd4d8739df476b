"""Compiled loops in PyTorch's own threads.

PyTorch's workers keep spinning for a while after each of its operators, so threads of another pool
would have to wait for them. Its wheels bring GNU's OpenMP, whose entry point for compiled code is
called here.
"""

import ctypes
import os

import torch
from torch import Tensor

LIBRARY = "libgomp.so.1"


def _loaded_library() -> ctypes.CDLL | None:
    """GNU's OpenMP, if it is part of this process."""
    try:
        return ctypes.CDLL(LIBRARY, mode=getattr(os, "RTLD_NOLOAD", 0))
    except OSError:
        return None


_openmp = _loaded_library()
AVAILABLE = _openmp is not None


def run_in_threads(address: int, tensors: list[Tensor], sizes: list[int]) -> None:
    """Calls ``void f(void **)`` in each of ``torch.get_num_threads()`` threads and waits for all.

    Args:
        address: of the function, which finds out its part of the work from ``omp_get_thread_num``
            and ``omp_get_num_threads``.
        tensors: the function's argument begins with pointers to their data, ...
        sizes: ... and ends with one to these, as int64.
    """
    numbers = (ctypes.c_int64 * len(sizes))(*sizes)
    pointers = [tensor.data_ptr() for tensor in tensors] + [ctypes.addressof(numbers)]
    argument = (ctypes.c_void_p * len(pointers))(*pointers)
    _openmp.GOMP_parallel(ctypes.c_void_p(address), argument, torch.get_num_threads(), 0)
