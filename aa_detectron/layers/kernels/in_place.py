"""The filter and its gradients in PyTorch operators that work in place, for every device.

Sums are in float32 (float64 if an argument is float64). One map at a time is kept beside the padded
input, where autograd over :func:`~aa_detectron.layers.kernels.reference.filter_plain` keeps one for
each tap.

``forward``, ``grad_x`` and ``grad_weights`` have the arguments of
:func:`~aa_detectron.layers.kernels.op.filter_map`.
"""

import torch
from torch import Tensor

from ..maps import empty_as, output_size
from ..padding import pad_same
from ..precision import accumulation_dtype
from .reference import fold_padding, kernel_side, normalize, softmax_backward


def forward(x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str) -> Tensor:
    groups, dtype = weights.shape[1], accumulation_dtype(x, weights)
    filters = normalize(weights, softmax).to(dtype)
    padded = pad_same(x, kernel_side(weights.shape[2]), padding_mode).to(dtype)
    out = empty_as(x, (*x.shape[:2], *output_size(x, stride)), dtype).zero_()
    grouped = out.unflatten(1, (groups, -1))
    for tap, window in enumerate(_windows(padded, x, weights, stride)):
        grouped.addcmul_(window, filters[:, :, tap].unsqueeze(2))
    return out.to(x.dtype)


def grad_x(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    groups, dtype = weights.shape[1], accumulation_dtype(x, weights)
    side, (height, width) = kernel_side(weights.shape[2]), x.shape[2:]
    filters = fold_padding(normalize(weights, softmax), x.shape[2:], stride, padding_mode).to(dtype)
    outer = grad.to(dtype).unflatten(1, (groups, -1))
    shape = (*x.shape[:2], height + side - 1, width + side - 1)
    padded, pad = empty_as(x, shape, dtype).zero_(), side // 2
    for tap, window in enumerate(_windows(padded, x, weights, stride)):
        window.addcmul_(outer, filters[:, :, tap].unsqueeze(2))
    return empty_as(x).copy_(padded[..., pad : pad + height, pad : pad + width])


def grad_weights(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    groups, dtype = weights.shape[1], accumulation_dtype(x, weights)
    padded = pad_same(x, kernel_side(weights.shape[2]), padding_mode).to(dtype)
    outer, result = grad.to(dtype).unflatten(1, (groups, -1)), empty_as(weights, dtype=dtype)
    for tap, window in enumerate(_windows(padded, x, weights, stride)):
        torch.sum(window * outer, 2, out=result[:, :, tap])
    filters = normalize(weights, softmax).to(dtype)
    return empty_as(weights).copy_(softmax_backward(result, filters, softmax))


def _windows(padded: Tensor, x: Tensor, weights: Tensor, stride: int) -> list[Tensor]:
    """Views of a padded map, (N, g, C / g, H', W'): what each tap of the filters reads of it."""
    grouped, side = padded.unflatten(1, (weights.shape[1], -1)), kernel_side(weights.shape[2])
    height, width = x.shape[2:]
    return [
        grouped[..., i : height + i : stride, j : width + j : stride]
        for i in range(side)
        for j in range(side)
    ]
