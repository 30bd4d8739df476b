"""Operators behind ``AdaptiveBlurPool2d``, registered as ``torch.ops.aa_detectron.*``.

* ``filter``: applies predicted filters, with a kernel for each kind of device: ``cpu_filter``
  (loops compiled by Numba, run by ``cpu_threads``), ``triton_filter`` (CUDA), and ``plain``, which
  is the reference, the decomposition for exports, and what other devices get.
* ``conv``: the predictor's convolution of a padded map; ``cpu_conv`` cuts it into ``blocks``.
"""

from .conv import padded_conv2d
from .op import filter_map
from .reference import filter_padded, filter_plain, normalize

__all__ = [
    "filter_map",
    "filter_padded",
    "filter_plain",
    "normalize",
    "padded_conv2d",
]
