import itertools

import pytest
import torch

from aa_detectron.errors import InvalidOption
from aa_detectron.layers.kernels import filter_map, filter_plain

SIZES = [(9, 7), (12, 10), (1, 1), (1, 6), (5, 2)]
MODES = ["reflect", "replicate", "zeros"]
SOFTMAX = ["none", "group", "all"]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def arguments(size, k=3, stride=2, layout=torch.contiguous_format, dtype=torch.float64, groups=2):
    x = torch.randn(3, 4, *size, dtype=dtype).to(memory_format=layout)
    weights = torch.randn(3, groups * k * k, *(-(-side // stride) for side in size), dtype=dtype)
    weights = weights.to(memory_format=layout).unflatten(1, (groups, -1))
    return x.requires_grad_(), weights.requires_grad_()


def output_and_gradients(function, x, weights, *options):
    out = function(x, weights, *options)
    grad = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(0))
    return out, *torch.autograd.grad(out, (x, weights), grad)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("softmax", SOFTMAX)
@pytest.mark.parametrize("mode", MODES)
def test_equals_plain_operators(mode, softmax, layout):
    for size, (k, stride) in itertools.product(SIZES, [(3, 1), (3, 2), (3, 3), (5, 2)]):
        x, weights = arguments(size, k, stride, layout)
        results = output_and_gradients(filter_map, x, weights, stride, mode, softmax)
        expected = output_and_gradients(filter_plain, x, weights, stride, mode, softmax)
        for result, reference in zip(results, expected, strict=True):
            torch.testing.assert_close(result, reference)
        assert results[0].is_contiguous(memory_format=layout)


@pytest.mark.parametrize("softmax", SOFTMAX)
def test_gradcheck(softmax):
    inputs = arguments((5, 4))
    assert torch.autograd.gradcheck(filter_map, (*inputs, 2, "reflect", softmax))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_summed_in_float32_and_rounded_once(dtype, layout):
    x, weights = arguments((9, 8), 5, layout=layout, dtype=torch.float32)
    low = [t.detach().to(dtype).requires_grad_() for t in (x, weights)]
    high = [t.detach().float().requires_grad_() for t in low]
    results = output_and_gradients(filter_map, *low, 2, "reflect", "group")
    expected = output_and_gradients(
        lambda *args: filter_map(*args).to(dtype).float(), *high, 2, "reflect", "group"
    )
    # The same random gradient, which is rounded for the former.
    for result, reference in zip(results, expected, strict=True):
        assert result.dtype == dtype
        torch.testing.assert_close(result.float(), reference, rtol=0.01, atol=0.01)
    assert torch.equal(results[0].float(), expected[0])


def test_any_strides():
    """Slices, and weights expanded in space, as those of one filter an image."""
    base = torch.randn(3, 8, 9, 14, dtype=torch.float64)
    x = base[:, ::2, :, 1::2].requires_grad_()
    weights = torch.randn(3, 2, 9, 1, 1, dtype=torch.float64, requires_grad=True)
    results = output_and_gradients(filter_map, x, weights, 2, "reflect", "group")
    everywhere = weights.expand(3, 2, 9, 5, 4)
    expected = output_and_gradients(filter_plain, x, everywhere, 2, "reflect", "group")
    torch.testing.assert_close(results[:2], expected[:2])
    torch.testing.assert_close(results[2], expected[2].sum((3, 4), keepdim=True))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_of_one_argument_only(layout):
    x, weights = arguments((6, 7), layout=layout)
    both = output_and_gradients(filter_map, x, weights, 2, "reflect", "group")[1:]
    out = filter_map(x, weights.detach(), 2, "reflect", "group")
    grad = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.autograd.grad(out, x, grad)[0], both[0])
    out = filter_map(x.detach(), weights, 2, "reflect", "group")
    assert torch.equal(torch.autograd.grad(out, weights, grad)[0], both[1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_saves_its_arguments_only(layout):
    x, weights = arguments((16, 16), layout=layout)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        filter_map(x, weights, 2, "reflect", "group")
    assert {t.data_ptr() for t in saved} == {x.data_ptr(), weights.data_ptr()}


def test_an_infinite_pixel_stays_where_it_is():
    """Padding with zeros, and taps of other places, must not turn it into NaN."""
    x = torch.zeros(1, 4, 8, 8)
    x[0, 1, 7, 7] = torch.inf
    filters = torch.full((1, 2, 9, 4, 4), 1 / 9)
    for mode in MODES:
        y = filter_map(x, filters, 2, mode)
        assert torch.isinf(y[0, 1, 3, 3]) and not torch.isnan(y).any()
        assert y.isfinite().sum() == y.numel() - 1


def test_second_gradient_is_refused():
    x, weights = arguments((5, 4))
    (gradient,) = torch.autograd.grad(
        filter_map(x, weights, 2, "reflect").sum(), x, create_graph=True
    )
    with pytest.raises(RuntimeError, match="differentiable once"):
        gradient.sum().backward()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("softmax", SOFTMAX)
def test_opcheck(softmax, layout):
    x, weights = arguments((5, 6), layout=layout, dtype=torch.float32)
    torch.library.opcheck(torch.ops.aa_detectron.filter, (x, weights, 2, "reflect", softmax))


def test_decomposes_into_aten():
    class Filter(torch.nn.Module):
        def forward(self, x, weights):
            return filter_map(x, weights, 2, "reflect", "group")

    args = tuple(t.detach() for t in arguments((9, 8)))
    program = torch.export.export(Filter(), args)
    assert "aa_detectron.filter" in str(program.graph)
    table = torch._decomp.get_decompositions([torch.ops.aa_detectron.filter.default])
    plain = program.run_decompositions(table)
    calls = [node.target for node in plain.graph.nodes if node.op == "call_function"]
    assert calls and all(call.namespace == "aten" for call in calls)
    torch.testing.assert_close(plain.module()(*args), Filter()(*args))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_trace_holds_plain_operators():
    args = tuple(t.detach() for t in arguments((9, 8)))
    traced = torch.jit.trace(lambda *a: filter_map(*a, 2, "reflect", "group"), args)
    kinds = {node.kind() for node in traced.graph.nodes()}
    assert not any(kind.startswith("aa_detectron") for kind in kinds)
    torch.testing.assert_close(traced(*args), filter_map(*args, 2, "reflect", "group"))


@pytest.mark.parametrize(
    "shape, stride, mode, softmax, found",
    [
        ((3, 2, 9, 3, 3), 2, "reflect", "none", "the shape of the filters is"),  # too small
        ((2, 2, 9, 5, 4), 2, "reflect", "none", "the shape of the filters is"),  # other batch
        ((3, 3, 9, 5, 4), 2, "reflect", "none", "the shape of the filters is"),  # 4 % 3 channels
        ((3, 2, 8, 5, 4), 2, "reflect", "none", "the shape of the filters is"),  # not k * k
        ((3, 2, 4, 5, 4), 2, "reflect", "none", "the shape of the filters is"),  # k even
        ((3, 18, 5, 4), 2, "reflect", "none", "the shape of the filters is"),
        ((3, 2, 9, 5, 4), 0, "reflect", "none", "stride is 0"),
        ((3, 2, 9, 5, 4), 2, "same", "none", "padding_mode is 'same'"),
        ((3, 2, 9, 5, 4), 2, "reflect", "row", "softmax is 'row'"),
    ],
)
def test_illegal(shape, stride, mode, softmax, found):
    with pytest.raises(InvalidOption, match=f"^{found}"):
        filter_map(torch.zeros(3, 4, 9, 8), torch.zeros(shape), stride, mode, softmax)
