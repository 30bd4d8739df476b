import math

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from aa_detectron.errors import InvalidOption
from aa_detectron.layers import BlurPool2d, binomial_kernel
from aa_detectron.layers.padding import pad_same


def test_kernel_of_three():
    expected = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    assert torch.equal(binomial_kernel(3), expected)


@pytest.mark.parametrize("kernel_size", range(2, 8))
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1), (1, 6), (2, 5)])
def test_size_and_constant(kernel_size, stride, size):
    x = torch.full((2, 3, *size), 1.7)
    y = BlurPool2d(3, kernel_size, stride)(x)
    assert y.shape[-2:] == tuple(math.ceil(s / stride) for s in size)
    torch.testing.assert_close(y, torch.full_like(y, 1.7))


def test_impulse_gives_the_kernel():
    x = torch.zeros(1, 2, 9, 9)
    x[:, 1, 4, 4] = 1
    y = BlurPool2d(2, 5, stride=1)(x)
    assert torch.equal(y[0, 1, 2:7, 2:7], binomial_kernel(5))
    assert y[0, 0].abs().sum() == 0


def test_by_hand():
    # Reflected: 3 1 3 5 3 -> taps 1 2 1 at columns 0 and 2 of the row 1 3 5.
    x = torch.tensor([1.0, 3, 5]).view(1, 1, 1, 3)
    y = BlurPool2d(1, 3, 2)(x)
    assert torch.equal(y.flatten(), torch.tensor([(3 + 2 + 3) / 4, (3 + 10 + 3) / 4]))


def test_even_kernel_takes_the_next_pixel():
    x = torch.tensor([0.0, 4, 8, 2]).view(1, 1, 1, 4)
    y = BlurPool2d(1, 2, 1, padding_mode="replicate")(x)
    assert torch.equal(y.flatten(), torch.tensor([2.0, 6, 5, 2]))


def test_small_side_is_replicated_the_other_reflected():
    x = torch.tensor([1.0, 3, 5]).view(1, 1, 1, 3)
    padded = pad_same(x, 3)
    assert torch.equal(padded, torch.tensor([3.0, 1, 3, 5, 3]).expand(1, 1, 3, 5))


def test_shift_moves_the_output_less_than_without_filter():
    """The idea itself: sampled noise changes less from one pixel of shift behind a blur."""
    x = torch.rand(1, 4, 65, 64, generator=torch.Generator().manual_seed(0))
    change = [
        (f(x[:, :, 1:]) - f(x[:, :, :-1])).abs().mean()
        for f in (lambda t: t[..., ::2, ::2], BlurPool2d(4, 3), BlurPool2d(4, 5))
    ]
    assert change[0] > 1.5 * change[1] > 1.5 * change[2]


def test_shift_by_the_stride_shifts_the_output():
    x = torch.rand(1, 1, 20, 20)
    pool = BlurPool2d(1, 3)
    torch.testing.assert_close(pool(x)[..., 2:-1, 2:-1], pool(x.roll(2, -1))[..., 2:-1, 3:])


def test_not_in_the_checkpoint():
    assert not BlurPool2d(4).state_dict()


@pytest.mark.parametrize(
    "kwargs, option",
    [
        ({"kernel_size": 1}, "kernel_size"),
        ({"kernel_size": 8}, "kernel_size"),
        ({"stride": 0}, "stride"),
        ({"padding_mode": "circular"}, "padding_mode"),
    ],
)
def test_illegal(kwargs, option):
    with pytest.raises(InvalidOption, match=f"^{option} is "):
        BlurPool2d(4, **kwargs)


@pytest.mark.parametrize(
    "padding_mode, mode", [("reflect", "mirror"), ("replicate", "nearest"), ("zeros", "constant")]
)
@pytest.mark.parametrize("kernel_size", range(2, 8))
def test_equals_scipy(kernel_size, padding_mode, mode):
    x = np.random.default_rng(0).normal(size=(9, 14))
    origin = -1 if kernel_size % 2 == 0 else 0  # scipy's even kernels lie before the pixel
    expected = correlate(x, binomial_kernel(kernel_size).numpy(), mode=mode, origin=origin)
    for stride in (1, 2, 3):
        layer = BlurPool2d(1, kernel_size, stride, padding_mode, dtype=torch.float64)
        found = layer(torch.from_numpy(x)[None, None])[0, 0]
        torch.testing.assert_close(found.numpy(), expected[::stride, ::stride], rtol=0, atol=1e-7)


@pytest.mark.parametrize("padding_mode", ["reflect", "zeros"])
def test_differentiable_twice(padding_mode):
    layer = BlurPool2d(2, 3, padding_mode=padding_mode, dtype=torch.float64)
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


def test_an_infinite_pixel_stays_where_it_is():
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 5] = torch.inf
    out = BlurPool2d(1, 3)(x)
    assert out.isinf().nonzero().tolist() == [[0, 0, 2, 2], [0, 0, 2, 3]]
    assert not out.isnan().any()


def test_exports_a_convolution():
    layer, x = BlurPool2d(4), torch.randn(1, 4, 9, 8)
    program = torch.export.export(layer, (x,))
    targets = {str(n.target) for n in program.graph.nodes if n.op == "call_function"}
    assert any("conv2d" in target for target in targets)
    torch.testing.assert_close(program.module()(x), layer(x))
