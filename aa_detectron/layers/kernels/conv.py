"""A convolution with any padding as one operator, ``torch.ops.aa_detectron.padded_conv``.

On the CPU it needs no padded copy of the map, not even for the gradient; see ``cpu.conv``.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..blur_pool import pad_same
from .choice import is_plain
from .cpu import conv as cpu_conv
from .reference import empty_as, empty_output, is_autocast


def padded_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding_mode: str, groups: int = 1
) -> Tensor:
    """``F.conv2d`` of a feature map that is padded by k // 2.

    Args:
        x: feature map, (N, C, H, W).
        weight: weight of the convolution, (D, C / groups, k, k), k odd.
        bias: bias of the convolution, (D,), or None.
        stride: stride, s >= 1.
        padding_mode: "reflect", "replicate" or "zeros", see
            :func:`~aa_detectron.layers.blur_pool.pad_same`.
        groups: number of groups of the convolution, a divisor of C and D; the operator has no
            groups, so that more than one take a padded copy of the map.

    Returns:
        Feature map, (N, D, ceil(H / s), ceil(W / s)).
    """
    exported = torch.compiler.is_compiling() or torch.jit.is_tracing()
    needs_plain = is_plain() or exported or groups > 1 or is_autocast(x)
    if x.device.type == "cpu" and x.dtype == weight.dtype and not needs_plain:
        return conv_op(x, weight, bias, stride, padding_mode)
    return conv_plain(x, weight, bias, stride, padding_mode, groups)


def conv_plain(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding_mode: str, groups: int = 1
) -> Tensor:
    padded = pad_same(x, weight.shape[-1], padding_mode)
    return F.conv2d(padded, weight, bias, stride, groups=groups)


@torch.library.custom_op("aa_detectron::padded_conv", mutates_args=(), device_types="cpu")
def conv_op(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding_mode: str
) -> Tensor:
    return cpu_conv.forward(x, weight, bias, stride, padding_mode)


@torch.library.custom_op("aa_detectron::padded_conv_grad_x", mutates_args=(), device_types="cpu")
def grad_x_op(grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding_mode: str) -> Tensor:
    return cpu_conv.grad_x(grad, x, weight, stride, padding_mode)


@torch.library.custom_op(
    "aa_detectron::padded_conv_grad_weight", mutates_args=(), device_types="cpu"
)
def grad_weight_op(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding_mode: str
) -> Tensor:
    return cpu_conv.grad_weight(grad, x, weight, stride, padding_mode)


@conv_op.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding_mode: str) -> Tensor:
    return empty_output(x, weight.shape[0], stride)


@grad_x_op.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding_mode: str) -> Tensor:
    return empty_as(x)


@grad_weight_op.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding_mode: str) -> Tensor:
    return torch.empty_like(weight)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, *ctx.options = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    args = (grad, *ctx.saved_tensors, *ctx.options)
    for_x, for_weight, for_bias = ctx.needs_input_grad[:3]
    return (
        grad_x_op(*args) if for_x else None,
        grad_weight_op(*args) if for_weight else None,
        grad.sum((0, 2, 3)) if for_bias else None,
        *(None for _ in ctx.options),
    )


conv_op.register_autograd(_backward, setup_context=_setup_context)
