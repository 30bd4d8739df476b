"""A convolution with any padding, whose gradient needs no padded copy of the map in memory."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .kernels.choice import is_eager
from .padding import pad_same
from .precision import is_autocast


def padded_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding_mode: str, groups: int = 1
) -> Tensor:
    """``F.conv2d`` of a feature map that is padded by k // 2.

    Args:
        x: feature map, (N, C, H, W).
        weight: weight of the convolution, (D, C / groups, k, k), k odd.
        bias: bias of the convolution, (D,), or None.
        stride: stride, s >= 1.
        padding_mode: "reflect", "replicate" or "zeros".
        groups: number of groups of the convolution, a divisor of C and D.

    Returns:
        Feature map, (N, D, ceil(H / s), ceil(W / s)).
    """
    # TorchScript compiles the first branch only.
    if torch.jit.is_scripting():
        return _padded_conv2d(x, weight, bias, stride, padding_mode, groups)
    else:
        run = _PaddedConv2d.apply if _saves_memory(x, weight) else _padded_conv2d
        return run(x, weight, bias, stride, padding_mode, groups)


def _padded_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding_mode: str, groups: int
) -> Tensor:
    padded = pad_same(x, weight.shape[-1], padding_mode)
    return F.conv2d(padded, weight, bias, stride, groups=groups)


def _saves_memory(x: Tensor, weight: Tensor) -> bool:
    """Tells whether a gradient will be computed, and by PyTorch's autograd alone."""
    needs_gradient = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    return needs_gradient and is_eager(x, weight) and not is_autocast(x)


class _PaddedConv2d(torch.autograd.Function):
    """Keeps the map for the gradient, and not its padded copy, which takes as much memory again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.options, ctx.channels = options, None if bias is None else [len(bias)]
        return _padded_conv2d(x, weight, bias, *options)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), (stride, padding_mode, groups) = ctx.saved_tensors, ctx.options
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            padded = pad_same(x, weight.shape[-1], padding_mode)
        for_x, for_weight, for_bias = torch.ops.aten.convolution_backward(
            grad, padded.detach(), weight, ctx.channels, [stride, stride], [0, 0], [1, 1],
            False, [0, 0], groups, ctx.needs_input_grad[:3],
        )  # fmt: skip
        if for_x is not None:
            (for_x,) = torch.autograd.grad(padded, x, for_x)
        return for_x, for_weight, for_bias, None, None, None
