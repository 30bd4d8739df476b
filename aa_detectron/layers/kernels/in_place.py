"""The filter and its gradients in PyTorch operators that work in place, for every device.

Sums are in float32 (float64 if an argument is float64). On a CPU, maps are cut into parts that stay
in its cache while all taps of the filters read or write them, and only one part at a time is
padded. Autograd over :func:`~aa_detectron.layers.kernels.reference.filter_plain` keeps a whole map
for each tap.

``forward``, ``grad_x`` and ``grad_weights`` have the arguments of
:func:`~aa_detectron.layers.kernels.op.filter_map`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..maps import PART_BYTES, empty_as, is_channels_last, output_size
from ..padding import pad_same
from ..precision import accumulation_dtype
from .reference import fold_padding, kernel_side, normalize, softmax_backward


def forward(x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str) -> Tensor:
    side, dtype = kernel_side(weights.shape[2]), accumulation_dtype(x, weights)
    filters = normalize(weights, softmax).to(dtype)
    out = empty_as(x, (*x.shape[:2], *output_size(x, stride)), dtype).zero_()
    for read, taps, total in _parts(x, filters, out):
        phases = _phases(pad_same(read, side, padding_mode).to(dtype), stride)
        for tap, window in enumerate(_windows(phases, taps)):
            _grouped(total, taps).addcmul_(window, taps[:, :, tap].unsqueeze(2))
    return out.to(x.dtype)


def grad_x(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    side, dtype = kernel_side(weights.shape[2]), accumulation_dtype(x, weights)
    filters = fold_padding(normalize(weights, softmax), x.shape[2:], stride, padding_mode).to(dtype)
    result, height, width = empty_as(x), x.shape[2] + side - 1, x.shape[3] + side - 1
    for total, taps, outer in _parts(result, filters, grad):
        padded = empty_as(total, (*total.shape[:2], height, width), dtype).zero_()
        phases, outer = _phases(padded, stride), _grouped(outer.to(dtype), taps)
        for tap, window in enumerate(_windows(phases, taps)):
            window.addcmul_(outer, taps[:, :, tap].unsqueeze(2))
        _merge(phases, total, side // 2)
    return result


def grad_weights(
    grad: Tensor, x: Tensor, weights: Tensor, stride: int, padding_mode: str, softmax: str
) -> Tensor:
    side, dtype = kernel_side(weights.shape[2]), accumulation_dtype(x, weights)
    result = empty_as(weights, dtype=dtype)
    for read, taps, outer in _parts(x, result, grad):
        phases = _phases(pad_same(read, side, padding_mode).to(dtype), stride)
        outer = _grouped(outer.to(dtype), taps)
        for tap, window in enumerate(_windows(phases, taps)):
            torch.sum(window * outer, 2, out=taps[:, :, tap])
    filters = normalize(weights, softmax).to(dtype)
    return empty_as(weights).copy_(softmax_backward(result, filters, softmax))


def _parts(x: Tensor, filters: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Cuts a map, (N, C, H, W), its filters, and a filtered map into parts.

    A part has whole images, or groups of channels of one image where channels are not interleaved.
    Other devices than a CPU get one part.
    """
    if x.device.type != "cpu":
        yield x, filters, y
        return
    groups = filters.shape[1]
    channels = x.shape[1] // groups
    fitting = max(1, PART_BYTES // max(1, x[:1, :channels].nbytes))
    images = max(1, fitting // groups)
    groups_of_one = groups if is_channels_last(x) else min(fitting, groups)
    for part in zip(x.split(images), filters.split(images), y.split(images), strict=True):
        sizes = (groups_of_one * channels, groups_of_one, groups_of_one * channels)
        split = (t.split(size, 1) for t, size in zip(part, sizes, strict=True))
        yield from zip(*split, strict=True)


def _phases(padded: Tensor, stride: int) -> list[Tensor]:
    """Returns every s-th column, from each of the first s: the polyphase components of the rows.

    On a CPU they are contiguous, so that taps read and write whole rows. In channels-last format
    they are views, since the channels are side by side anyway.
    """
    phases = [padded[..., start::stride] for start in range(stride)]
    are_views = padded.device.type != "cpu" or is_channels_last(padded)
    return phases if are_views else [phase.contiguous() for phase in phases]


def _merge(phases: list[Tensor], x: Tensor, pad: int) -> None:
    """Writes into a map what its phases, padded on all sides, have inside of the padding."""
    stride, (height, width) = len(phases), x.shape[2:]
    for start in range(min(stride, width)):
        columns = x[..., start::stride]
        first, phase = divmod(start + pad, stride)
        last = first + columns.shape[3]
        columns.copy_(phases[phase][..., pad : pad + height, first:last])


def _windows(phases: list[Tensor], filters: Tensor) -> Iterator[Tensor]:
    """Views of a padded map, (N, g, C / g, H', W'): what each tap of the filters reads of it."""
    side, stride, (height, width) = kernel_side(filters.shape[2]), len(phases), filters.shape[3:]
    for row in range(side):
        for column in range(side):
            phase, first = phases[column % stride], column // stride
            rows = slice(row, row + (height - 1) * stride + 1, stride)
            yield _grouped(phase[..., rows, first : first + width], filters)


def _grouped(x: Tensor, filters: Tensor) -> Tensor:
    return x.unflatten(1, (filters.shape[1], -1))
