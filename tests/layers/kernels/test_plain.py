import math

import pytest
import torch
from torchvision.ops import deform_conv2d

from aa_detectron.layers.kernels import filter_padded, filter_plain, normalize


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k, groups", [(3, 1), (3, 4), (5, 2)])
def test_equals_deform_conv_without_offsets(k, groups, stride):
    """torchvision's modulated deformable conv computes the same sum, filters being its mask."""
    padded = torch.randn(2, 8, 8 + k, 9 + k)
    h, w = math.ceil(9 / stride), math.ceil(10 / stride)
    filters = torch.randn(2, groups, k * k, h, w)
    expected = deform_conv2d(
        padded,
        offset=torch.zeros(2, 2 * groups * k * k, h, w),
        weight=torch.ones(8, 1, k, k),
        stride=stride,
        mask=filters.flatten(1, 2),
    )
    torch.testing.assert_close(filter_padded(padded, filters, stride), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_summed_in_float32(dtype):
    padded, filters = torch.randn(1, 4, 9, 9).to(dtype), torch.randn(1, 2, 9, 4, 4)
    expected = filter_padded(padded.float(), filters, 2)
    assert torch.equal(filter_padded(padded, filters, 2), expected.to(dtype))


@pytest.mark.parametrize("softmax, dims", [("group", 2), ("all", (1, 2))])
def test_normalize(softmax, dims):
    logits = torch.randn(2, 3, 9, 4, 5)
    exponentials = logits.exp()
    expected = exponentials / exponentials.sum(dims, keepdim=True)
    torch.testing.assert_close(normalize(logits, softmax), expected)
    assert normalize(logits, "none") is logits


@pytest.mark.parametrize("softmax", ["none", "group", "all"])
def test_differentiable_twice(softmax):
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(1, 2, 9, 2, 2, dtype=torch.float64, requires_grad=True)

    def function(x, weights):
        return filter_plain(x, weights, 2, "reflect", softmax)

    assert torch.autograd.gradgradcheck(function, (x, weights))
