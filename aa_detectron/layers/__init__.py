"""Low-pass filters with a stride; they need PyTorch only.

``LOWPASS_REGISTRY`` and ``build_lowpass`` read a config and need Detectron2. They are imported
when they are first used.
"""

from typing import Any

from aa_detectron.compat import require_detectron2

from .adaptive_blur_pool import AdaptiveBlurPool2d, adaptive_blur_pool2d, softmax_filters
from .blur_pool import BlurPool2d, binomial_kernel, blur_pool2d
from .build import FilterOptions
from .frequency import FrequencyPool2d, frequency_pool2d
from .gaussian import GaussianBlurPool2d, gaussian_kernel

__all__ = [
    "AdaptiveBlurPool2d",
    "BlurPool2d",
    "FilterOptions",
    "FrequencyPool2d",
    "GaussianBlurPool2d",
    "LOWPASS_REGISTRY",
    "adaptive_blur_pool2d",
    "binomial_kernel",
    "blur_pool2d",
    "build_lowpass",
    "frequency_pool2d",
    "gaussian_kernel",
    "softmax_filters",
]


def __getattr__(name: str) -> Any:
    if name not in ("LOWPASS_REGISTRY", "build_lowpass"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_detectron2(f"{__name__}.{name}")
    from . import registry

    return getattr(registry, name)
