import pytest
import torch

from aa_detectron.layers.kernels import in_place

OPTIONS = (2, "reflect", "all")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_batch_of_no_image(layout):
    x, weights = torch.randn(0, 8, 6, 6).to(memory_format=layout), torch.randn(0, 2, 9, 3, 3)
    assert in_place.forward(x, weights, *OPTIONS).shape == (0, 8, 3, 3)
    grad = torch.randn(0, 8, 3, 3)
    assert in_place.grad_x(grad, x, weights, *OPTIONS).shape == x.shape
    assert in_place.grad_weights(grad, x, weights, *OPTIONS).shape == weights.shape
