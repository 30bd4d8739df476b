import re

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad

from aa_detectron.layers import max_pool
from aa_detectron.layers.max_pool import MaxPool2d


@pytest.fixture
def calls(monkeypatch):
    """Counts the maps whose maxima are taken along whole rows and columns."""
    dense, found = max_pool._dense_max_pool2d, []
    monkeypatch.setattr(
        max_pool, "_dense_max_pool2d", lambda x, *args: found.append(1) or dense(x, *args)
    )
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", [(9, 12), (3, 3), (2, 3), (5, 1), (4, 4)])
@pytest.mark.parametrize(
    ("kernel", "padding"), [(3, 1), (3, 0), (2, 0), (2, 1), (5, 2), ((1, 3), (0, 1)), ((2, 3), 1)]
)
def test_values_are_torchs(kernel, padding, size, dtype, calls):
    x = torch.randn(2, 4, *size).to(dtype)
    pool = MaxPool2d(kernel, 1, padding)
    try:
        expected = F.max_pool2d(x, kernel, 1, padding)
    except RuntimeError as error:  # the kernel does not fit
        with pytest.raises(RuntimeError, match=re.escape(str(error)[:20])):
            pool(x)
        return
    assert torch.equal(pool(x), expected)
    assert torch.equal(pool(x[0]), expected[0])
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("shape", "kernel", "padding"), [((2, 3), 1, 0), ((2, 1, 8, 8), 3, 2), ((0, 8, 8), 3, 1)]
)
def test_errors_are_torchs(shape, kernel, padding):
    with pytest.raises(RuntimeError) as expected:
        F.max_pool2d(torch.zeros(shape), kernel, 1, padding)
    with pytest.raises(RuntimeError) as found:
        MaxPool2d(kernel, 1, padding)(torch.zeros(shape))
    assert str(found.value) == str(expected.value)


def test_kernel_of_one_pixel_copies(calls):
    x = torch.randn(1, 2, 4, 4)
    out = MaxPool2d(1, 1)(x)
    assert torch.equal(out, x) and out.data_ptr() != x.data_ptr() and calls


def test_nan_and_infinity():
    x = torch.randn(1, 1, 7, 9)
    x[0, 0, 1, 2], x[0, 0, 5, 5], x[0, 0, 6, 8] = torch.nan, torch.inf, -torch.inf
    expected = F.max_pool2d(x, 3, 1, 1)
    assert expected.isnan().sum() == 9
    torch.testing.assert_close(MaxPool2d(3, 1, 1)(x), expected, rtol=0, atol=0, equal_nan=True)


def test_gradient_is_torchs(calls):
    x = torch.randn(2, 3, 8, 9).relu().requires_grad_()
    grad = torch.randn(2, 3, 8, 9)
    expected = torch.autograd.grad(F.max_pool2d(x, 3, 1, 1), x, grad)
    assert torch.equal(torch.autograd.grad(MaxPool2d(3, 1, 1)(x), x, grad)[0], expected[0])
    assert not calls


def test_forward_mode(calls):
    x = torch.randn(1, 2, 6, 6)
    for enabled in (False, True):
        with torch.set_grad_enabled(enabled), forward_ad.dual_level():
            dual = forward_ad.make_dual(x, torch.full_like(x, 3.0))
            tangent = forward_ad.unpack_dual(MaxPool2d(3, 1, 1)(dual)).tangent
        assert torch.equal(tangent, torch.full_like(x, 3.0))
    assert not calls


@pytest.mark.parametrize(
    "options",
    [{"stride": 2}, {"stride": 1, "dilation": 2}, {"stride": 1, "return_indices": True}, {}],
    ids=str,
)
def test_other_options_are_torchs(options, calls):
    x = torch.randn(2, 3, 8, 9)
    result = MaxPool2d(3, **options)(x)
    torch.testing.assert_close(result, torch.nn.MaxPool2d(3, **options)(x), rtol=0, atol=0)
    assert not calls


def test_memory_format_stays():
    x = torch.randn(2, 3, 8, 9).to(memory_format=torch.channels_last)
    out = MaxPool2d(3, 1, 1)(x)
    assert torch.equal(out, F.max_pool2d(x, 3, 1, 1))
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_exports():
    x, pool = torch.randn(2, 3, 8, 9), MaxPool2d(3, 1, 1)
    for exported in (
        torch.jit.script(pool),
        torch.jit.trace(pool, x),
        torch.fx.symbolic_trace(pool),
        torch.export.export(pool, (x,)).module(),
        torch.compile(pool, backend="eager"),
        torch.func.vmap(lambda image: pool(image)),
    ):
        assert torch.equal(exported(x), F.max_pool2d(x, 3, 1, 1))
