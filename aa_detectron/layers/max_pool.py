"""Max pooling of stride 1, before a filter with the stride (Zhang, ICML 2019, section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules.utils import _pair

from .kernels.choice import is_eager


class MaxPool2d(nn.MaxPool2d):
    """``nn.MaxPool2d`` that is fast with stride 1 on a CPU, where no gradient is needed.

    A frozen stem needs none in training either. The maxima are taken along rows, then along
    columns, of many positions at once. PyTorch visits one position after the other, unless the map
    is in channels-last format. The values are identical.
    """

    def forward(self, input: Tensor) -> Tensor:
        # TorchScript compiles the first branch only.
        if torch.jit.is_scripting():
            return F.max_pool2d(
                input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
            )
        else:
            return self._pool(input)

    def _pool(self, x: Tensor) -> Tensor:
        is_dense = _pair(self.stride) == _pair(self.dilation) == (1, 1) and not self.return_indices
        sizes, paddings = _pair(self.kernel_size), _pair(self.padding)
        if not (is_dense and is_eager(x) and _is_slow(x) and _fits(x, sizes, paddings)):
            return super().forward(x)
        return _dense_max_pool2d(x, sizes, paddings)


def _is_slow(x: Tensor) -> bool:
    is_floats_of_cpu = x.device.type == "cpu" and x.is_floating_point()
    has_tangent = forward_ad.unpack_dual(x).tangent is not None
    needs_gradient = (torch.is_grad_enabled() and x.requires_grad) or has_tangent
    return is_floats_of_cpu and x.is_contiguous() and not needs_gradient


def _fits(x: Tensor, sizes: tuple[int, int], paddings: tuple[int, int]) -> bool:
    """Tells whether PyTorch accepts the map. If not, PyTorch raises the error."""
    sides = zip(x.shape[-2:], sizes, paddings, strict=True)
    fit = all(2 * pad <= k <= side + 2 * pad for side, k, pad in sides)
    return fit and x.dim() in (3, 4) and x.numel() > 0


def _dense_max_pool2d(x: Tensor, sizes: tuple[int, int], paddings: tuple[int, int]) -> Tensor:
    for axis in (-1, -2):
        x = _maxima_along(x, axis, sizes[axis], paddings[axis])
    return x


def _maxima_along(x: Tensor, axis: int, size: int, padding: int) -> Tensor:
    """Returns the maxima of all windows of ``size`` pixels along an axis, without a padded copy."""
    shape, length = list(x.shape), x.shape[axis]
    shape[axis] = outputs = length + 2 * padding - size + 1
    out = x.new_full(shape, -torch.inf)
    for offset in range(-padding, size - padding):
        first, last = max(0, -offset), min(outputs, length - offset)
        if first < last:
            window = out.narrow(axis, first, last - first)
            torch.maximum(window, x.narrow(axis, first + offset, last - first), out=window)
    return out
