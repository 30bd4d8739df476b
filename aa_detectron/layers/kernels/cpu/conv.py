"""A convolution with any padding on the CPU, in blocks instead of a padded copy of the map.

The functions have the arguments of :func:`~aa_detectron.layers.kernels.conv.padded_conv2d`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

from aa_detectron.layers.blur_pool import pad_same

from ..reference import empty_as, empty_output, is_channels_last
from .blocks import blocks, is_small
from .layout import to_planes


def forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding_mode: str
) -> Tensor:
    out = empty_output(x, weight.shape[0], stride)
    if is_small(x):
        padded = pad_same(x, weight.shape[-1], padding_mode)
        return out.copy_(F.conv2d(padded, weight, bias, stride))
    for block in blocks(x, weight.shape[-1], stride, padding_mode):
        block.of_output(out).copy_(F.conv2d(block.pad(x), weight, bias, stride))
    return out


def grad_x(grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding_mode: str) -> Tensor:
    result = empty_as(x).zero_()  # zeros_like would take fresh memory
    weight = weight.contiguous(memory_format=torch.channels_last)  # faster here
    for block in blocks(x, weight.shape[-1], stride, padding_mode):
        outer = block.of_output(grad)
        size = (len(outer), x.shape[1], *block.padded_size(x.shape[-1]))
        part = block.unpad(conv2d_input(size, weight, outer, stride))
        block.of_map(result).add_(part if is_channels_last(result) else to_planes(part))
    return result


def grad_weight(grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding_mode: str) -> Tensor:
    result = torch.zeros_like(weight)
    for block in blocks(x, weight.shape[-1], stride, padding_mode):
        result += conv2d_weight(block.pad(x), weight.shape, block.of_output(grad), stride)
    return result
