"""Operators behind ``AdaptiveBlurPool2d``, registered as ``torch.ops.aa_detectron.*``.

* ``op``: ``filter`` applies predicted filters, with a kernel for each kind of device:
  ``cpu.filter`` (loops compiled by Numba, run by ``cpu.threads``), ``cuda`` (Triton), and
  ``reference`` for exports and for all other devices.
* ``blur``: the fixed blur; ``cpu.blur`` has its loops.
* ``choice``: compiled kernels or plain operators; ``check``: the former against the latter.
"""

from .choice import get_kernels, set_kernels, using_kernels
from .op import filter_map
from .reference import filter_padded, filter_plain, normalize

__all__ = [
    "filter_map",
    "filter_padded",
    "filter_plain",
    "get_kernels",
    "normalize",
    "set_kernels",
    "using_kernels",
]
