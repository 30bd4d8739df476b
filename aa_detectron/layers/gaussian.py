"""Fixed Gaussian low-pass filter with a stride."""

import functools
import math

import torch
from torch import Tensor

from aa_detectron.errors import InvalidOption

from .blur_pool import FixedBlurPool2d, blur_pool2d
from .constants import constant_like
from .precision import at_least_float32, without_autocast

# torch.fx records a call of it, since it cannot trace it.
torch.fx.wrap("_wide_blur_pool2d")


def gaussian_kernel(kernel_size: int, sigma: float) -> Tensor:
    """Returns a sampled Gaussian.

    Args:
        kernel_size: number of taps in each direction, k >= 1.
        sigma: standard deviation in pixels of the feature map, above 0.

    Returns:
        Filter, (k, k) float32 with sum 1: the outer product of a sampled Gaussian with itself. Its
        center is between two taps where k is even.
    """
    offsets = torch.arange(kernel_size, dtype=torch.float64) - (kernel_size - 1) / 2
    row = (-0.5 * (offsets / sigma).square()).softmax(0)
    return torch.outer(row, row).float()


class GaussianBlurPool2d(FixedBlurPool2d):
    """Downsampling after a fixed Gaussian blur.

    The sums are in float32 or float64, under autocast as well: unlike the taps of the binomial
    blur, those of a Gaussian would be rounded in lower precision, and would not sum to 1.

    Args:
        channels: number of channels of the input, C; used for printing, and for a signature that
            all filters share.
        kernel_size: side of the filter, k >= 2.
        stride: stride, s >= 1; 1 filters without downsampling.
        sigma: standard deviation in pixels of the input, above 0.
        padding_mode: "reflect", "replicate" or "zeros"; "zeros" darkens the border.
        device: device of the filter, as in torch's layers.
        dtype: dtype of the filter, as in torch's layers; float32 in place of a lower one.

    Shape:
        (N, C, H, W) -> (N, C, ceil(H / s), ceil(W / s))

    Raises:
        InvalidOption: a value is not one of these.
    """

    _keeps_float32 = True

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        stride: int = 2,
        sigma: float = 1.0,
        padding_mode: str = "reflect",
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        if kernel_size < 2:
            raise InvalidOption("kernel_size", kernel_size, "at least 2")
        if not 0 < sigma < math.inf:
            raise InvalidOption("sigma", sigma, "a number above 0")
        formula = functools.partial(gaussian_kernel, kernel_size, sigma)
        super().__init__(channels, formula, stride, padding_mode, device=device, dtype=dtype)
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        # TorchScript compiles the first branch only.
        if torch.jit.is_scripting():
            return self._filtered(at_least_float32(x)).to(x.dtype)
        else:
            return _wide_blur_pool2d(x, self.kernel, self.stride, self.padding_mode)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, sigma={self.sigma}"


def _wide_blur_pool2d(x: Tensor, kernel: Tensor, stride: int, padding_mode: str) -> Tensor:
    with without_autocast(x):
        wide = at_least_float32(x)
        kernel = constant_like(kernel, wide)
        return blur_pool2d(wide, kernel, stride, padding_mode).to(x.dtype)
