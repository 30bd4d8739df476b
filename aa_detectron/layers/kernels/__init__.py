"""Operators behind ``AdaptiveBlurPool2d``, registered as ``torch.ops.aa_detectron.*``.

* ``op``: ``filter`` applies predicted filters, with one implementation for each kind of device:
  ``cuda`` (Triton), ``in_place`` (PyTorch operators) for all others, and ``reference`` for exports.
* ``choice``: compiled kernels or PyTorch operators; ``check``: all of them against ``reference``.
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
