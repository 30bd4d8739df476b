"""Operators behind ``AdaptiveBlurPool2d``, registered as ``torch.ops.aa_detectron.*``."""

from .conv import padded_conv2d
from .filter import filter_map
from .plain import filter_padded, filter_plain, normalise

__all__ = [
    "filter_map",
    "filter_padded",
    "filter_plain",
    "normalise",
    "padded_conv2d",
]
