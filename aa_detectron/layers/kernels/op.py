"""The adaptive filter as one operator, ``torch.ops.aa_detectron.filter``, with its own gradient.

For the gradient it saves its arguments only: the map without padding, and the filters or logits. No
saved tensor has k * k times the size of the map. The map and the weights may differ in precision,
so autocast has nothing to cast. ``cuda`` has the kernels of a GPU; all other devices take
``in_place``.

Compilers, exporters and other code that looks at operators see the operator; only the transforms
of ``torch.func``, which cannot differentiate it, see plain operators. Everything else takes an
autograd function with the same kernels: on a GPU, dispatching an operator that is defined in Python
takes longer than its kernel.
"""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from aa_detectron.errors import InvalidOption, check_choice

from ..maps import empty_as, empty_output, output_size
from ..padding import PADDING_MODES
from . import in_place
from .choice import is_eager, is_plain, is_transformed, with_fallback
from .reference import SOFTMAX, filter_plain

DEVICES = ("cpu", "cuda")
"""Types of the devices for which the operator is registered."""


def filter_map(
    x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str = "none"
) -> Tensor:
    """Pads, filters with one k x k filter per group of channels and location, and downsamples.

    Only the kept positions are computed, with sums in float32 (float64 if an argument is float64).
    Traces, TorchScript and the transforms of ``torch.func`` get plain operators, and so do
    compilers and exporters with :func:`~.choice.set_kernels` "plain". Outside of the transforms,
    the result can be differentiated once.

    Args:
        x: feature map, (N, C, H, W).
        weights: filters or logits, (N, g, k * k, ceil(H / s), ceil(W / s)), with taps in row-major
            order, k odd and C divisible by g. Group i filters the C / g channels that start at
            channel i * C / g. A shape of (N, g, k * k, 1, 1) applies the same filter everywhere.
        stride: stride, s >= 1.
        padding_mode: "reflect", "replicate" or "zeros", see
            :func:`~aa_detectron.layers.padding.pad_same`.
        softmax: "none" for filters; "group" or "all" for logits, see
            :func:`~aa_detectron.layers.kernels.reference.normalize`.

    Returns:
        Filtered map, (N, C, ceil(H / s), ceil(W / s)), in the dtype and memory format of ``x``.

    Raises:
        InvalidOption: a shape or value is not one of these.
    """
    # TorchScript compiles the first branch only, and an early return would not hide the other one.
    if torch.jit.is_scripting():
        return filter_plain(x, weights, stride, padding_mode, softmax)
    else:
        return _filter_map(x, weights, stride, padding_mode, softmax)


def _filter_map(x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str) -> Tensor:
    if weights.dim() == 5 and weights.shape[3:] == (1, 1):
        weights = weights.expand(-1, -1, -1, *output_size(x, stride))
    if is_eager(x, weights):
        return _Filter.apply(x, weights, stride, padding_mode, softmax)
    if torch.jit.is_tracing() or is_transformed() or is_plain() or x.device.type not in DEVICES:
        _check(x, weights, stride, padding_mode, softmax)
        return filter_plain(x, weights, stride, padding_mode, softmax)
    return filter_op(x, weights, stride, padding_mode, softmax)


def _check(x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str) -> None:
    if stride < 1:
        raise InvalidOption("stride", stride, "at least 1")
    check_choice("padding_mode", padding_mode, PADDING_MODES)
    check_choice("softmax", softmax, SOFTMAX)
    if x.dim() != 4:
        raise InvalidOption("the shape of x", tuple(x.shape), "(N, C, H, W)")
    height, width = output_size(x, stride)
    taps = weights.shape[2] if weights.dim() == 5 else 0
    fits = (
        taps % 2 == 1
        and math.isqrt(taps) ** 2 == taps
        and weights.shape[0] == x.shape[0]
        and x.shape[1] % weights.shape[1] == 0
        and weights.shape[3:] == (height, width)
    )
    if not fits:
        legal = f"({x.shape[0]}, a divisor of {x.shape[1]}, k * k for an odd k, {height}, {width})"
        raise InvalidOption("the shape of the filters", tuple(weights.shape), legal)


def compiled_filter() -> ModuleType:
    """Returns the module with the kernels of a GPU."""
    from . import cuda  # imported only where it is used: importing Triton takes long

    return cuda


def _run(name: str, device_type: str, *args: Any) -> Tensor:
    """Runs a function of the device's kernels, or of the operators that work in place."""
    return with_fallback(
        device_type,
        lambda: getattr(compiled_filter(), name)(*args),
        lambda: getattr(in_place, name)(*args),
    )


def _forward(x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str) -> Tensor:
    _check(x, weights, stride, padding_mode, softmax)
    return _run("forward", x.device.type, x, weights, stride, padding_mode, softmax)


def _grad_x(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    return _run("grad_x", x.device.type, grad, x, weights, stride, padding_mode, softmax)


def _grad_weights(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    return _run("grad_weights", x.device.type, grad, x, weights, stride, padding_mode, softmax)


filter_op, grad_x_op, grad_weights_op = (
    torch.library.custom_op(name, mutates_args=(), device_types=DEVICES)(function)
    for name, function in (
        ("aa_detectron::filter", _forward),
        ("aa_detectron::filter_grad_x", _grad_x),
        ("aa_detectron::filter_grad_weights", _grad_weights),
    )
)


class _Filter(torch.autograd.Function):
    """The operator without the dispatcher."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, *options: Any) -> Tensor:
        ctx.options = options
        ctx.save_for_backward(x, weights)
        return _forward(x, weights, *options)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # With create_graph, the operators raise an error at a second gradient.
        if torch.is_grad_enabled():
            return _backward(ctx, grad)
        return _gradients(ctx, grad, _grad_x, _grad_weights)


@filter_op.register_fake
def _fake_filter(
    x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    _check(x, weights, stride, padding_mode, softmax)
    return empty_output(x, x.shape[1], stride)


@grad_x_op.register_fake
def _(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    return empty_as(x)


@grad_weights_op.register_fake
def _(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    return empty_as(weights)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weights, *ctx.options = inputs
    ctx.save_for_backward(x, weights)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return _gradients(ctx, grad, grad_x_op, grad_weights_op)


def _gradients(
    ctx: Any, grad: Tensor, of_x: Callable, of_weights: Callable
) -> tuple[Tensor | None, ...]:
    args = (grad, *ctx.saved_tensors, *ctx.options)
    return (
        of_x(*args) if ctx.needs_input_grad[0] else None,
        of_weights(*args) if ctx.needs_input_grad[1] else None,
        *(None for _ in ctx.options),
    )


def _no_second_backward(ctx: Any, grad: Tensor) -> None:
    raise RuntimeError("aa_detectron::filter is differentiable once only")


filter_op.register_autograd(_backward, setup_context=_setup_context)
grad_x_op.register_autograd(_no_second_backward)
grad_weights_op.register_autograd(_no_second_backward)

# The ONNX exporter uses this table for operators that it does not know.
torch._decomp.register_decomposition(torch.ops.aa_detectron.filter.default)(filter_plain)
# Without an entry in this one, symbolic shapes would come from all operators of the decomposition,
# and exporting a network with maps of any size would take four times as long.
torch._decomp.register_decomposition(torch.ops.aa_detectron.filter.default, type="meta")(
    _fake_filter
)
