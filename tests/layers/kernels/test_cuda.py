"""On a machine without a GPU the kernels run in Triton's interpreter, see tests/conftest.py."""

import pytest
import torch

from aa_detectron.layers.kernels import filter_map, filter_plain

pytest.importorskip("triton")

from aa_detectron.layers.kernels import cuda as triton_filter

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def arguments(size, k, stride, layout=torch.contiguous_format, dtype=torch.float64, channels=6):
    x = torch.randn(2, channels, *size, dtype=dtype, device=DEVICE).to(memory_format=layout)
    shape = (2, 2 * k * k, *(-(-side // stride) for side in size))
    weights = torch.randn(shape, dtype=dtype, device=DEVICE).to(memory_format=layout)
    return x, weights.unflatten(1, (2, -1))


def kernels(x, weights, *options):
    """Output and gradients of the kernels, and the gradient that they are given."""
    out = triton_filter.forward(x, weights, *options)
    grad = torch.randn_like(out)
    grad_x = triton_filter.grad_x(grad, x, weights, *options)
    return (out, grad_x, triton_filter.grad_weights(grad, x, weights, *options)), grad


def reference(grad, x, weights, *options):
    """The same in float64 and plain operators."""
    inputs = [t.double().requires_grad_() for t in (x, weights)]
    out = filter_plain(*inputs, *options)
    return out.detach(), *torch.autograd.grad(out, inputs, grad.double())


@pytest.mark.parametrize(
    "size, k, stride, mode, softmax, layout",
    [
        ((5, 4), 3, 2, "reflect", "group", torch.contiguous_format),
        ((4, 5), 3, 2, "reflect", "group", torch.channels_last),
        ((4, 5), 3, 2, "replicate", "all", torch.contiguous_format),
        ((3, 4), 3, 2, "replicate", "none", torch.channels_last),
        ((4, 3), 3, 2, "zeros", "group", torch.contiguous_format),
        ((5, 4), 3, 2, "zeros", "all", torch.channels_last),
        ((3, 3), 3, 1, "reflect", "none", torch.contiguous_format),
        ((4, 5), 3, 3, "reflect", "all", torch.channels_last),
        ((4, 3), 5, 2, "reflect", "group", torch.contiguous_format),
        ((1, 4), 3, 2, "reflect", "group", torch.channels_last),
        ((1, 1), 3, 2, "reflect", "group", torch.contiguous_format),
    ],
)
def test_equals_plain_operators(size, k, stride, mode, softmax, layout):
    options = (stride, mode, softmax)
    inputs = arguments(size, k, stride, layout)
    results, grad = kernels(*inputs, *options)
    torch.testing.assert_close(results, reference(grad, *inputs, *options))
    assert results[0].is_contiguous(memory_format=layout)
    assert results[1].stride() == inputs[0].stride()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_low_precision_is_summed_in_float32(dtype):
    """As far from float64 as rounding the result takes it: the half of its last place."""
    inputs = arguments((4, 5), 3, 2, dtype=dtype)
    results, grad = kernels(*inputs, 2, "reflect", "group")
    expected = reference(grad, *inputs, 2, "reflect", "group")
    # The interpreter does not round to bfloat16: it cuts.
    places = 1.01 if dtype == torch.bfloat16 and DEVICE == "cpu" else 0.51
    for result, exact in zip(results, expected, strict=True):
        assert result.dtype == dtype
        rtol = places * torch.finfo(dtype).eps
        torch.testing.assert_close(result.double(), exact, rtol=rtol, atol=1e-6)


def test_tiles_of_several_blocks():
    """More channels and columns than a program takes; a gradient of any strides."""
    x, weights = arguments((1, 70), 3, 1, channels=2 * 40)
    out = triton_filter.forward(x, weights, 1, "reflect", "none")
    grad = torch.randn(2, 70, 1, 80, dtype=x.dtype, device=DEVICE).permute(0, 3, 2, 1)
    results = (
        out,
        triton_filter.grad_x(grad, x, weights, 1, "reflect", "none"),
        triton_filter.grad_weights(grad, x, weights, 1, "reflect", "none"),
    )
    torch.testing.assert_close(results, reference(grad, x, weights, 1, "reflect", "none"))


def test_same_filter_everywhere():
    x, weights = arguments((4, 5), 3, 2)
    everywhere = weights[..., :1, :1].expand(weights.shape)
    results, grad = kernels(x, everywhere, 2, "zeros", "group")
    torch.testing.assert_close(results, reference(grad, x, everywhere, 2, "zeros", "group"))


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_operator_on_a_gpu(dtype, layout):
    x, weights = (t.requires_grad_() for t in arguments((33, 50), 3, 2, layout, dtype))
    out = filter_map(x, weights, 2, "reflect", "group")
    grad = torch.randn_like(out)
    results = out, *torch.autograd.grad(out, (x, weights), grad)
    expected = reference(grad, x.detach(), weights.detach(), 2, "reflect", "group")
    for result, exact in zip(results, expected, strict=True):
        torch.testing.assert_close(result.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-6)
