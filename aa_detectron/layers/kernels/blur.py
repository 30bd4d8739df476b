"""A separable blur: a compiled kernel on the CPU, a convolution everywhere else."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .choice import has_filter_kernel, is_eager, with_fallback


def separable_blur(
    x: Tensor,
    kernel: Tensor,
    stride: int,
    padding_mode: str,
    plain: Callable[[Tensor, Tensor, int, str], Tensor],
) -> Tensor:
    """Filters every channel with the same separable low-pass filter at every s-th location.

    The compiled kernel needs no padded copy of the map, and k + k instead of k * k products.
    Traces, compilers and exporters see the convolution.

    Args:
        x: feature map, (N, C, H, W).
        kernel: low-pass filter, (k, k): the outer product of a row of sum 1 with itself.
        stride: stride, s >= 1.
        padding_mode: see :func:`~aa_detectron.layers.padding.pad_same`.
        plain: function that computes the same for all filters in plain PyTorch operators.

    Returns:
        Filtered map, (N, C, ceil(H / s), ceil(W / s)).
    """
    if is_eager(x, kernel) and _has_kernel(x) and not kernel.requires_grad:
        return _Blur.apply(x, kernel, stride, padding_mode, plain)
    return plain(x, kernel, stride, padding_mode)


def _has_kernel(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and has_filter_kernel("cpu")
        and x.dtype in (torch.float32, torch.float64)
        and x.is_contiguous()
        and not torch.is_autocast_enabled("cpu")
    )


class _Blur(torch.autograd.Function):
    """The blur; its gradient is linear as well, so it can be differentiated any number of times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, *options: Any) -> Tensor:
        ctx.kernel, ctx.options, ctx.size = kernel, options, x.shape[2:]
        stride, padding_mode, plain = options
        return with_fallback(
            "cpu",
            lambda: _compiled().forward(x, kernel.sum(0), stride, padding_mode),
            lambda: plain(x, kernel, stride, padding_mode),
        )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _Adjoint.apply(grad, ctx.size, ctx.kernel, *ctx.options), None, None, None, None


class _Adjoint(torch.autograd.Function):
    """The gradient of the blur with respect to the map."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, size: torch.Size, kernel: Tensor, *options: Any) -> Tensor:
        ctx.arguments = kernel, *options
        stride, padding_mode, plain = options

        def differentiate() -> Tensor:
            with torch.enable_grad():
                x = grad.new_zeros(*grad.shape[:2], *size, requires_grad=True)
                return torch.autograd.grad(plain(x, kernel, stride, padding_mode), x, grad)[0]

        return with_fallback(
            "cpu",
            lambda: _compiled().adjoint(
                grad.contiguous(), kernel.sum(0), stride, padding_mode, size
            ),
            differentiate,
        )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        out = _Blur.apply(grad.contiguous(), *ctx.arguments)
        return out, *(None for _ in range(5))


def _compiled() -> Any:
    # Imported only where it is used: importing Numba takes long.
    from .cpu import blur

    return blur
