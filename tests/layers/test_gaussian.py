import math

import numpy as np
import pytest
import torch

from aa_detectron.errors import InvalidOption
from aa_detectron.layers import GaussianBlurPool2d, binomial_kernel, gaussian_kernel


def reference(x, k, stride, sigma):
    """Written out in NumPy: reflect, weigh by exp(-d^2 / 2 sigma^2), keep every s-th pixel."""
    center = (k - 1) / 2
    kernel = np.array(
        [
            [math.exp(-((i - center) ** 2 + (j - center) ** 2) / (2 * sigma**2)) for j in range(k)]
            for i in range(k)
        ]
    )
    kernel /= kernel.sum()
    x = x.double().numpy()
    for axis in (2, 3):
        widths = [(0, 0)] * 4
        widths[axis] = ((k - 1) // 2, k // 2)
        x = np.pad(x, widths, mode="reflect" if x.shape[axis] > k // 2 else "edge")
    height, width = x.shape[2] - k + 1, x.shape[3] - k + 1
    out = [
        [(x[..., p : p + k, q : q + k] * kernel).sum((2, 3)) for q in range(0, width, stride)]
        for p in range(0, height, stride)
    ]
    return np.moveaxis(np.array(out), (0, 1), (2, 3))


@pytest.mark.parametrize("k, sigma", [(2, 1.0), (3, 0.7), (5, 1.0), (4, 2.5), (9, 2.0)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_equals_the_reference(stride, k, sigma):
    for size in [(8, 8), (7, 9), (1, 1), (1, 6), (2, 5), (13, 6)]:
        x = torch.randn(2, 3, *size)
        y = GaussianBlurPool2d(3, k, stride, sigma)(x)
        np.testing.assert_allclose(y.numpy(), reference(x, k, stride, sigma), atol=1e-6)


@pytest.mark.parametrize("size", range(1, 14))
def test_size_and_constant(size):
    for stride in (1, 2, 3):
        y = GaussianBlurPool2d(3, 5, stride)(torch.full((1, 3, size, 14 - size), 1.7))
        assert y.shape[2:] == (math.ceil(size / stride), math.ceil((14 - size) / stride))
        torch.testing.assert_close(y, torch.full_like(y, 1.7))


def test_limits_of_sigma():
    torch.testing.assert_close(gaussian_kernel(5, 1e4), torch.full((5, 5), 1 / 25))
    identity = torch.zeros(5, 5)
    identity[2, 2] = 1
    torch.testing.assert_close(gaussian_kernel(5, 1e-3), identity)
    torch.testing.assert_close(gaussian_kernel(4, 1e-3)[1:3, 1:3], torch.full((2, 2), 1 / 4))


def test_near_the_binomial_blur_of_the_same_variance():
    assert (gaussian_kernel(7, math.sqrt(6) / 2) - binomial_kernel(7)).abs().max() < 0.01


def test_gradcheck():
    layer = GaussianBlurPool2d(2, 3).double()
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_summed_in_float32(dtype):
    layer = GaussianBlurPool2d(3, 5)
    x = torch.randn(1, 3, 9, 8).to(dtype)
    assert torch.equal(layer(x), layer(x.float()).to(dtype))
    constant = torch.full_like(x, 1.25)
    assert torch.equal(layer(constant), constant[..., ::2, ::2])
    assert torch.equal(GaussianBlurPool2d(3, 5).to(dtype)(x), layer(x))
    assert torch.equal(GaussianBlurPool2d(3, 5, dtype=dtype)(x), layer(x))


def test_autocast_does_not_round():
    layer, x = GaussianBlurPool2d(3, 5), torch.randn(1, 3, 9, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert torch.equal(y, layer(x))


def test_not_in_the_checkpoint():
    assert not GaussianBlurPool2d(4).state_dict()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"kernel_size": 1},
        {"stride": 0},
        {"sigma": 0.0},
        {"sigma": math.inf},
        {"sigma": math.nan},
        {"padding_mode": "circular"},
    ],
)
def test_illegal(kwargs):
    with pytest.raises(InvalidOption, match=f"^{next(iter(kwargs))} is "):
        GaussianBlurPool2d(4, **kwargs)
