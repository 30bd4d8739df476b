"""Padding with which every filter of stride s has ceil(H / s) x ceil(W / s) outputs."""

import torch.nn.functional as F
from torch import Tensor

PADDING_MODES = ("reflect", "replicate", "zeros")


def pad_same(x: Tensor, kernel_size: int, padding_mode: str = "reflect") -> Tensor:
    """Pads so that a k x k filter of stride s gives ceil(H / s) x ceil(W / s) for every k and s.

    A side that has no more pixels than the padding cannot be reflected (a 1x1 map at res5). It is
    replicated instead. For even k the bottom and the right get the additional pixel.

    Args:
        x: feature map, (N, C, H, W).
        kernel_size: side of the filter, k >= 1.
        padding_mode: "reflect", "replicate" or "zeros".

    Returns:
        Padded map, (N, C, H + k - 1, W + k - 1).
    """
    before, after = (kernel_size - 1) // 2, kernel_size // 2
    rows = axis_mode(padding_mode, x.shape[-2], after)
    columns = axis_mode(padding_mode, x.shape[-1], after)
    if rows == columns:
        return F.pad(x, (before, after, before, after), mode=rows)
    x = F.pad(x, (before, after, 0, 0), mode=columns)
    return F.pad(x, (0, 0, before, after), mode=rows)


def axis_mode(padding_mode: str, size: int, pad: int) -> str:
    """Returns the mode of ``F.pad`` for one side of a map, see :func:`pad_same`.

    Args:
        padding_mode: "reflect", "replicate" or "zeros".
        size: length of the side in pixels.
        pad: width of the padding in pixels.
    """
    if padding_mode == "zeros":
        return "constant"
    return "replicate" if size <= pad else padding_mode
