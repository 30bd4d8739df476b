from .adaptive_blur_pool import AdaptiveBlurPool2d, adaptive_blur_pool2d, softmax_filters
from .blur_pool import BlurPool2d, binomial_kernel, blur_pool2d
from .build import LOWPASS_REGISTRY, build_lowpass

__all__ = [
    "AdaptiveBlurPool2d",
    "BlurPool2d",
    "LOWPASS_REGISTRY",
    "adaptive_blur_pool2d",
    "binomial_kernel",
    "blur_pool2d",
    "build_lowpass",
    "softmax_filters",
]
