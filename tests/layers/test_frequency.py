"""The cut of the spectrum, against Fourier sums that are written out."""

import itertools
import math

import numpy as np
import pytest
import scipy.signal
import torch

from aa_detectron.errors import InvalidOption
from aa_detectron.layers import FrequencyPool2d, frequency_pool2d

SIZES = range(1, 14)


def gain(frequency, size, window):
    if window == "none":
        return 1
    return math.sqrt(0.54 + 0.46 * math.cos(2 * math.pi * frequency / size))


def along_rows(x, stride, window):
    """One axis: the coefficients of the lowest frequencies, then the sum at every output pixel."""
    size, kept = x.shape[0], math.ceil(x.shape[0] / stride)
    out = np.zeros((kept, *x.shape[1:]), dtype=complex)
    for frequency in range(-(kept // 2), kept // 2 + 1):
        turns = np.exp(-2j * np.pi * frequency * np.arange(size) / size)
        coefficient = np.tensordot(turns, x, 1) / size * gain(frequency, size, window)
        if 2 * abs(frequency) == kept:  # both ends of the cut
            coefficient = coefficient / 2
        for pixel in range(kept):
            out[pixel] += coefficient * np.exp(2j * np.pi * frequency * pixel / kept)
    assert np.abs(out.imag).max() < 1e-12
    return out.real


def reference(x, stride, window):
    x = along_rows(np.moveaxis(x.numpy(), 2, 0), stride, window)
    return np.moveaxis(along_rows(np.moveaxis(x, 3, 0), stride, window), (0, 1), (3, 2))


@pytest.mark.parametrize("window", ["none", "hamming"])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_equals_the_fourier_sum(stride, window):
    for size, other in itertools.product(SIZES, (1, 6, 7)):
        x = torch.randn(2, 2, size, other, dtype=torch.float64)
        y = frequency_pool2d(x, stride, window)
        assert y.shape[2:] == (math.ceil(size / stride), math.ceil(other / stride))
        np.testing.assert_allclose(y.numpy(), reference(x, stride, window), atol=1e-12)


@pytest.mark.parametrize("size, kept", [(13, 7), (14, 7), (9, 5), (10, 5), (6, 3)])
def test_equals_resampling_by_scipy(size, kept):
    """Where the highest frequency is no special case."""
    x = torch.randn(1, 1, size, size, dtype=torch.float64)
    expected = scipy.signal.resample(scipy.signal.resample(x.numpy(), kept, axis=2), kept, axis=3)
    np.testing.assert_allclose(frequency_pool2d(x).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("window", ["none", "hamming"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_constant_and_mean(stride, window):
    for height, width in itertools.product(SIZES, SIZES):
        constant = torch.full((1, 2, height, width), 1.7)
        y = frequency_pool2d(constant, stride, window)
        torch.testing.assert_close(y, torch.full_like(y, 1.7))
        x = torch.randn(1, 2, height, width)
        torch.testing.assert_close(frequency_pool2d(x, stride, window).mean(), x.mean())


@pytest.mark.parametrize("frequency, kept", [(1, True), (3, True), (5, False), (8, False)])
def test_waves(frequency, kept):
    """A wave below the cut is sampled, a wave above it vanishes instead of aliasing."""
    wave = torch.cos(2 * torch.pi * frequency * torch.arange(16.0) / 16 + 0.3)
    y = frequency_pool2d(wave.expand(1, 1, 16, 16))
    expected = wave[::2] if kept else torch.zeros(8)
    torch.testing.assert_close(y, expected.expand(1, 1, 8, 8), rtol=0, atol=1e-6)


def test_the_window_lowers_high_frequencies():
    wave = torch.cos(2 * torch.pi * 3 * torch.arange(16.0) / 16)
    y = frequency_pool2d(wave.expand(1, 1, 16, 16), window="hamming")
    expected = math.sqrt(0.54 + 0.46 * math.cos(2 * math.pi * 3 / 16)) * wave[::2]
    torch.testing.assert_close(y, expected.expand(1, 1, 8, 8), rtol=0, atol=1e-6)


def test_stride_of_one():
    x = torch.randn(1, 2, 6, 5)
    assert frequency_pool2d(x, 1) is x
    assert (frequency_pool2d(x, 1, "hamming") - x).abs().max() > 0.1


def test_shift_by_the_stride_shifts_the_output():
    x = torch.randn(1, 1, 12, 18)
    for window in ("none", "hamming"):
        y = frequency_pool2d(x, 3, window)
        shifted = frequency_pool2d(x.roll((3, -6), (2, 3)), 3, window)
        torch.testing.assert_close(shifted, y.roll((1, -2), (2, 3)))


@pytest.mark.parametrize("window", ["none", "hamming"])
@pytest.mark.parametrize("size", [(6, 5), (1, 4)])
def test_gradcheck(size, window):
    x = torch.randn(1, 2, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(frequency_pool2d, (x, 2, window))
    assert torch.autograd.gradgradcheck(frequency_pool2d, (x, 2, window))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_summed_in_float32(dtype):
    x = torch.randn(1, 3, 14, 9).to(dtype)
    expected = frequency_pool2d(x.float()).to(dtype)
    assert torch.equal(frequency_pool2d(x), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(frequency_pool2d(x), expected)


def test_autocast_leaves_float32_alone():
    x = torch.randn(1, 3, 14, 9)
    with torch.autocast("cpu", torch.bfloat16):
        y = frequency_pool2d(x)
        assert torch.is_autocast_enabled("cpu")
    assert torch.equal(y, frequency_pool2d(x))


def test_long_axes_in_float32():
    x = torch.rand(1, 1, 1, 1997)
    exact = scipy.signal.resample(x.double().numpy(), 999, axis=3)
    np.testing.assert_allclose(frequency_pool2d(x).numpy(), exact, rtol=0, atol=2e-6)


def test_memory_format():
    x = torch.randn(2, 3, 8, 6)
    y = frequency_pool2d(x.to(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, frequency_pool2d(x))


def test_devices_without_data_and_empty_batches():
    assert FrequencyPool2d(3)(torch.empty(2, 3, 7, 8, device="meta")).shape == (2, 3, 4, 4)
    assert FrequencyPool2d(3)(torch.empty(0, 3, 7, 8)).shape == (0, 3, 4, 4)


def test_no_weights():
    layer = FrequencyPool2d(3, window="hamming")
    assert not layer.state_dict() and not list(layer.parameters())


def test_one_compiled_graph():
    compiled = torch.compile(FrequencyPool2d(3), backend="aot_eager", fullgraph=True)
    x = torch.randn(1, 3, 7, 8)
    torch.testing.assert_close(compiled(x), FrequencyPool2d(3)(x))


@pytest.mark.parametrize("kwargs", [{"stride": 0}, {"window": "hann"}])
def test_illegal(kwargs):
    with pytest.raises(InvalidOption, match=f"^{next(iter(kwargs))} is "):
        FrequencyPool2d(4, **kwargs)
