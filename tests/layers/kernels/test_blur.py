"""The compiled blur against convolutions of padded maps."""

import importlib
import itertools

import pytest
import torch

from aa_detectron.layers import BlurPool2d
from aa_detectron.layers.kernels import choice, using_kernels

pytest.importorskip("numba")
cpu_blur = importlib.import_module("aa_detectron.layers.kernels.cpu.blur")

SIZES = [(9, 14), (16, 16), (7, 1), (1, 1), (2, 3), (20, 33)]


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def output_and_gradient(layer, x):
    out = layer(x)
    grad = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(0))
    return out.detach(), torch.autograd.grad(out, x, grad)[0]


@pytest.mark.parametrize("mode", ["reflect", "replicate", "zeros"])
@pytest.mark.parametrize("k", range(2, 8))
@pytest.mark.parametrize("threads", [1, 3])
def test_equals_a_convolution(threads, k, mode, set_threads):
    set_threads(threads)
    for stride, size in itertools.product((1, 2, 3), SIZES):
        layer = BlurPool2d(4, k, stride, mode, dtype=torch.float64)
        x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
        assert "Blur" in type(layer(x).grad_fn).__name__
        found = output_and_gradient(layer, x)
        with using_kernels("plain"):
            torch.testing.assert_close(found, output_and_gradient(layer, x))


def test_differentiable_twice():
    layer = BlurPool2d(2, 3, dtype=torch.float64)
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


def test_an_infinite_pixel_stays_where_it_is():
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 5] = torch.inf
    out = BlurPool2d(1, 3)(x)
    assert out.isinf().nonzero().tolist() == [[0, 0, 2, 2], [0, 0, 2, 3]]
    assert not out.isnan().any()


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.to(memory_format=torch.channels_last),
        lambda x: x.bfloat16(),
        lambda x: x[..., ::2],
    ],
    ids=["channels-last", "bfloat16", "slice"],
)
def test_other_maps_take_the_convolution(change, monkeypatch):
    monkeypatch.setattr(cpu_blur, "forward", None)
    x = change(torch.randn(2, 4, 8, 8))
    out = BlurPool2d(4, 3, dtype=x.dtype)(x)
    assert out.dtype == x.dtype and choice.HAS_KERNELS["cpu"]
    assert out.is_contiguous(memory_format=torch.channels_last) or x.stride(1) != 1


@pytest.mark.parametrize("name", ["forward", "adjoint"])
def test_falls_back(name, monkeypatch, caplog):
    def fail(*args):
        raise RuntimeError("cannot be launched")

    monkeypatch.setitem(choice.HAS_KERNELS, "cpu", True)
    x = torch.randn(2, 4, 9, 8, requires_grad=True)
    expected = output_and_gradient(BlurPool2d(4), x)
    monkeypatch.setattr(cpu_blur, name, fail)
    torch.testing.assert_close(output_and_gradient(BlurPool2d(4), x), expected)
    assert "cannot be launched" in caplog.text


def test_exports_a_convolution():
    layer, x = BlurPool2d(4), torch.randn(1, 4, 9, 8)
    program = torch.export.export(layer, (x,))
    targets = {str(n.target) for n in program.graph.nodes if n.op == "call_function"}
    assert any("conv2d" in target for target in targets)
    torch.testing.assert_close(program.module()(x), layer(x))
