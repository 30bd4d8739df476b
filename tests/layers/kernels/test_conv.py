import itertools

import pytest
import torch

from aa_detectron.layers.kernels import padded_conv2d
from aa_detectron.layers.kernels.conv import conv_plain
from aa_detectron.layers.kernels.cpu import blocks

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def arguments(size, k, layout=torch.contiguous_format):
    x = torch.randn(3, 4, *size, dtype=torch.float64).to(memory_format=layout)
    weight = torch.randn(6, 4, k, k, dtype=torch.float64)
    return [t.requires_grad_() for t in (x, weight, torch.randn(6, dtype=torch.float64))]


def output_and_gradients(function, inputs, *options):
    out = function(*inputs, *options)
    grad = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(0))
    return out, *torch.autograd.grad(out, inputs, grad)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", ["reflect", "replicate", "zeros"])
@pytest.mark.parametrize("block", [1, 150, 1 << 20])
def test_equals_a_conv_of_the_padded_map(block, mode, layout, monkeypatch):
    monkeypatch.setattr(blocks, "SIZE", block)
    for size, k, stride in itertools.product([(9, 7), (12, 10), (1, 6)], [3, 5], [1, 2]):
        inputs = arguments(size, k, layout)
        results = output_and_gradients(padded_conv2d, inputs, stride, mode)
        expected = output_and_gradients(conv_plain, inputs, stride, mode)
        torch.testing.assert_close(results, expected)
        assert results[0].is_contiguous(memory_format=layout)


def test_saves_its_arguments_only():
    x, weight, bias = arguments((16, 16), 3)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        padded_conv2d(x, weight, bias, 2, "reflect")
    assert {t.data_ptr() for t in saved} == {x.data_ptr(), weight.data_ptr()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_opcheck(layout):
    inputs = arguments((5, 6), 3, layout)
    torch.library.opcheck(torch.ops.aa_detectron.padded_conv, (*inputs, 2, "reflect"))
    torch.library.opcheck(torch.ops.aa_detectron.padded_conv, (*inputs[:2], None, 2, "reflect"))


def test_autocast_reaches_the_conv():
    x, weight, bias = (t.detach().float() for t in arguments((8, 8), 3))
    with torch.autocast("cpu", torch.bfloat16):
        assert padded_conv2d(x, weight, bias, 2, "reflect").dtype == torch.bfloat16
