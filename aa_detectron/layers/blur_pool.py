"""Fixed low-pass filter with a stride: BlurPool, or LPF (Zhang, ICML 2019, section 3)."""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from aa_detectron.errors import InvalidOption, check_choice

from .constants import ModuleWithConstants, constant_like
from .padding import PADDING_MODES, pad_same

# torch.fx records a call of these, since it cannot trace them.
torch.fx.wrap("blur_pool2d")
torch.fx.wrap("constant_like")


def binomial_kernel(kernel_size: int) -> Tensor:
    """Returns the binomial low-pass filter (Zhang, ICML 2019, section 3).

    Args:
        kernel_size: number of taps in each direction, k >= 1.

    Returns:
        Filter, (k, k) float32 with sum 1: the outer product of a row of Pascal's triangle with
        itself.
    """
    row = torch.tensor([math.comb(kernel_size - 1, i) for i in range(kernel_size)]).double()
    kernel = torch.outer(row, row)
    return (kernel / kernel.sum()).float()


def blur_pool2d(
    x: Tensor, kernel: Tensor, stride: int = 2, padding_mode: str = "reflect"
) -> Tensor:
    """Filters every channel with the same low-pass filter at every s-th location.

    Args:
        x: feature map, (N, C, H, W).
        kernel: low-pass filter, (k, k).
        stride: stride, s >= 1.
        padding_mode: "reflect", "replicate" or "zeros", see :func:`pad_same`.

    Returns:
        Filtered map, (N, C, ceil(H / s), ceil(W / s)), in the dtype of ``x``.
    """
    channels, side = int(x.shape[1]), kernel.shape[-1]  # in a trace, shapes are tensors
    weight = kernel.to(x.dtype).expand(channels, 1, -1, -1)
    if padding_mode == "zeros" and side % 2 == 1:
        return F.conv2d(x, weight, stride=stride, padding=side // 2, groups=channels)
    return F.conv2d(pad_same(x, side, padding_mode), weight, stride=stride, groups=channels)


class FixedBlurPool2d(ModuleWithConstants):
    """Downsampling after a fixed filter, the same for all channels; base class of such layers.

    Args:
        channels: number of channels of the input, C; used for printing, and for a signature that
            all filters share.
        formula: function that returns the filter, (k, k): the outer product of a row of sum 1
            with itself.
        stride: stride, s >= 1; 1 filters without downsampling.
        padding_mode: "reflect", "replicate" or "zeros"; "zeros" darkens the border.
        device: device of the filter, as in torch's layers.
        dtype: dtype of the filter, as in torch's layers.

    Shape:
        (N, C, H, W) -> (N, C, ceil(H / s), ceil(W / s))

    Raises:
        InvalidOption: a value is not one of these.
    """

    kernel: Tensor

    def __init__(
        self,
        channels: int,
        formula: Callable[[], Tensor],
        stride: int = 2,
        padding_mode: str = "reflect",
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        check_choice("padding_mode", padding_mode, PADDING_MODES)
        if stride < 1:
            raise InvalidOption("stride", stride, "at least 1")
        self.channels, self.stride, self.padding_mode = channels, stride, padding_mode
        self.register_constant("kernel", formula)
        self.to(device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self._filtered(x)

    def _filtered(self, x: Tensor) -> Tensor:
        return blur_pool2d(x, constant_like(self.kernel, x), self.stride, self.padding_mode)

    def extra_repr(self) -> str:
        k = self.kernel.shape[-1]
        return f"{self.channels}, kernel_size={k}, stride={self.stride}, {self.padding_mode}"


class BlurPool2d(FixedBlurPool2d):
    """Downsampling after a fixed binomial blur: the baseline "LPF".

    Source: Zhang, ICML 2019, section 3.

    Args:
        channels: number of channels of the input, C; used for printing, and for a signature that
            all filters share.
        kernel_size: side of the filter, k, 2 to 7.
        stride: stride, s >= 1; 1 filters without downsampling.
        padding_mode: "reflect", "replicate" or "zeros"; "zeros" darkens the border.
        device: device of the filter, as in torch's layers.
        dtype: dtype of the filter, as in torch's layers.

    Shape:
        (N, C, H, W) -> (N, C, ceil(H / s), ceil(W / s))

    Raises:
        InvalidOption: a value is not one of these.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        stride: int = 2,
        padding_mode: str = "reflect",
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        check_choice("kernel_size", kernel_size, range(2, 8))
        formula = functools.partial(binomial_kernel, kernel_size)
        super().__init__(channels, formula, stride, padding_mode, device=device, dtype=dtype)
