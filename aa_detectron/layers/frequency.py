"""Low-pass filters that cut the spectrum of the map (Grabinski et al., ECCV 2022, and 2023)."""

import math

import torch
from torch import Tensor, nn

from aa_detectron.errors import InvalidOption, check_choice

from .maps import is_channels_last, output_size
from .precision import at_least_float32, without_autocast

WINDOWS = ("none", "hamming")

# torch.fx records a call of it, since it cannot trace it.
torch.fx.wrap("frequency_pool2d")


def frequency_pool2d(x: Tensor, stride: int = 2, window: str = "none") -> Tensor:
    """Keeps the low frequencies of a map that a map of the smaller size can have.

    This is a Fourier transform of the periodic map, a cut of its spectrum to as many frequencies
    along each axis as the output has pixels, and the inverse transform. All three are linear and
    separable, so that two real matrices do the same. The frequency zero is kept as it is: the mean
    of the map does not change, and a constant map stays constant, whatever its size. Where the
    output has an even size, half of its highest frequency is kept, from both ends of the cut.

    The output covers the whole map: its pixel p is at p * H / ceil(H / s). This is s * p where s
    divides H; on other maps the grid is finer, by less than s pixels over the whole map.

    Sums are in float32 or float64, under autocast as well.

    Args:
        x: feature map, (N, C, H, W).
        stride: stride, s >= 1. Stride 1 cuts nothing: without a window the map stays as it is.
        window: "none" for frequency low-cut pooling (FLC); "hamming" for ASAP, which multiplies
            the spectrum along each axis by the square root of the Hamming window of the input's
            band, as in the published code.

    Returns:
        Filtered map, (N, C, ceil(H / s), ceil(W / s)), in the dtype and memory format of ``x``.
    """
    # TorchScript compiles the first branch only.
    if torch.jit.is_scripting():
        return _pooled(x, stride, window)
    else:
        with without_autocast(x):
            return _pooled(x, stride, window)


def _pooled(x: Tensor, stride: int, window: str) -> Tensor:
    if stride == 1 and window == "none":
        return x
    wide = at_least_float32(x)
    height, width = output_size(x, stride)
    rows = _axis_matrix(x.shape[2], height, window, x.device).to(wide.dtype)
    columns = _axis_matrix(x.shape[3], width, window, x.device).to(wide.dtype)
    y = torch.matmul(rows, torch.matmul(wide, columns.t())).to(x.dtype)
    return y.contiguous(memory_format=torch.channels_last) if is_channels_last(x) else y


def _axis_matrix(size: int, kept: int, window: str, device: torch.device) -> Tensor:
    """Returns the filter along one axis as a matrix.

    Args:
        size: number of pixels of the input, H.
        kept: number of pixels of the output, 1 to H.
        window: "none" or "hamming".
        device: device of the matrix.

    Returns:
        Real matrix, (kept, size), in which every row sums to 1; float64 where the device has it.
    """
    # With phases in float32, the errors of a long axis would add up to more than float32's own.
    dtype = torch.float32 if device.type == "mps" else torch.float64
    frequencies = torch.arange(kept // 2 + 1, device=device)
    # Each frequency stands for its negative as well, except zero, and the highest of an even size.
    alone = (frequencies == 0) | (2 * frequencies == kept)
    weights = (2 - alone.to(dtype)) / size
    if window == "hamming":
        angles = frequencies.to(dtype) * (2 * math.pi / size)
        weights = weights * (0.54 + 0.46 * angles.cos()).sqrt()
    outputs = _phases(kept, frequencies, dtype)
    inputs = _phases(size, frequencies, dtype)
    even = torch.matmul(outputs.cos() * weights, inputs.cos().t())
    return even + torch.matmul(outputs.sin() * weights, inputs.sin().t())


def _phases(size: int, frequencies: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns the phases of the frequencies, (F,), at all pixels of an axis, (size, F)."""
    pixels = torch.arange(size, device=frequencies.device).unsqueeze(1)
    turn = pixels[-1:] + 1  # the size as a tensor: torch.onnx has no remainder of a symbolic size
    # Whole turns are taken off in integers: floats would lose the last digits of large phases.
    return (pixels * frequencies % turn).to(dtype) * (2 * math.pi / size)


class FrequencyPool2d(nn.Module):
    """Downsampling by a cut of the spectrum, :func:`frequency_pool2d`; it has no weights.

    Sources: Grabinski et al., ECCV 2022 (FLC), and arXiv 2307.09804 (ASAP). The published code is
    for even sizes; its cut is off center for sizes that 4 does not divide.

    Args:
        channels: number of channels of the input, C; used for printing, and for a signature that
            all filters share.
        stride: stride, s >= 1; see :func:`frequency_pool2d` for stride 1.
        window: "none" (FLC) or "hamming" (ASAP).

    Shape:
        (N, C, H, W) -> (N, C, ceil(H / s), ceil(W / s))

    Raises:
        InvalidOption: a value is not one of these.
    """

    def __init__(self, channels: int, stride: int = 2, window: str = "none"):
        super().__init__()
        if stride < 1:
            raise InvalidOption("stride", stride, "at least 1")
        check_choice("window", window, WINDOWS)
        self.channels, self.stride, self.window = channels, stride, window

    def forward(self, x: Tensor) -> Tensor:
        return frequency_pool2d(x, self.stride, self.window)

    def extra_repr(self) -> str:
        return f"{self.channels}, stride={self.stride}, window={self.window}"
