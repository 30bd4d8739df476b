"""Padded convolutions against torch's own."""

import pytest
import torch
from torch import nn

from aa_detectron.layers.padded_conv import padded_conv2d


@pytest.mark.parametrize("mode", ["reflect", "replicate", "zeros"])
@pytest.mark.parametrize("k, stride, groups", [(3, 1, 1), (3, 2, 2), (5, 2, 1)])
def test_equals_torchs_padded_conv(mode, k, stride, groups):
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64, requires_grad=True)
    options = {"stride": stride, "padding": k // 2, "groups": groups, "padding_mode": mode}
    conv = nn.Conv2d(4, 6, k, dtype=torch.float64, **options)
    found = padded_conv2d(x, conv.weight, conv.bias, stride, mode, groups)
    torch.testing.assert_close(found, conv(x))
    inputs, grad = (x, conv.weight, conv.bias), torch.randn_like(found)
    expected = torch.autograd.grad(conv(x), inputs, grad)
    torch.testing.assert_close(torch.autograd.grad(found, inputs, grad), expected)


@pytest.mark.parametrize("k, mode", [(3, "reflect"), (3, "zeros"), (1, "reflect")])
def test_gradients_of_one_argument_only(k, mode):
    x, weight = torch.randn(1, 2, 5, 6), torch.randn(3, 2, k, k)
    both = padded_conv2d(x.requires_grad_(), weight.requires_grad_(), None, 2, mode)
    grad = torch.randn_like(both)
    expected = torch.autograd.grad(both, (x, weight), grad)
    for number, pair in enumerate([(x, weight.detach()), (x.detach(), weight)]):
        out = padded_conv2d(*pair, None, 2, mode)
        torch.testing.assert_close(
            torch.autograd.grad(out, pair[number], grad)[0], expected[number]
        )


def test_saves_no_padded_copy():
    x, weight = torch.randn(1, 4, 16, 16), torch.randn(6, 4, 3, 3, requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        padded_conv2d(x, weight, None, 2, "reflect")
    assert {t.data_ptr() for t in saved} == {x.data_ptr(), weight.data_ptr()}


def test_autocast_reaches_the_conv():
    x, weight = torch.randn(1, 4, 8, 8), torch.randn(6, 4, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert padded_conv2d(x, weight, None, 2, "reflect").dtype == torch.bfloat16
