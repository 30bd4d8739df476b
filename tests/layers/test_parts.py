import math

import pytest
import torch
import torch.nn.functional as F

from aa_detectron.layers import BlurPool2d, parts
from aa_detectron.layers.max_pool import MaxPool2d
from aa_detectron.layers.parts import in_parts


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_channels_of_a_part(channels, monkeypatch):
    x, shapes = torch.randn(2, 5, 4, 3), []
    monkeypatch.setattr(parts, "PART_BYTES", channels * x[:, :1].nbytes)
    out = in_parts(lambda part: shapes.append(part.shape[1]) or 2 * part, x)
    assert torch.equal(out, 2 * x)
    assert len(shapes) == math.ceil(5 / channels) and max(shapes) == channels
    assert torch.equal(in_parts(torch.neg, x[0]), -x[0])


@pytest.mark.parametrize("shape", [(0, 5, 4, 3), (2, 0, 4, 3), (2, 5, 0, 3)])
def test_empty_map(shape):
    assert in_parts(torch.neg, torch.ones(shape)).shape == shape


@pytest.mark.parametrize("mode", ["reflect", "zeros"])
@pytest.mark.parametrize("layer", [BlurPool2d, MaxPool2d])
def test_layers(layer, mode, monkeypatch):
    """Groups of channels, one after the other, have the same output and gradient."""
    x = torch.randn(2, 5, 9, 8, requires_grad=True)
    module = BlurPool2d(5, padding_mode=mode) if layer is BlurPool2d else MaxPool2d(3, 1, 1)
    grad = torch.randn_like(module(x))
    expected = module(x).detach(), torch.autograd.grad(module(x), x, grad)[0]
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    assert torch.equal(module(x), expected[0])
    assert torch.equal(module(x.detach()), expected[0])
    # oneDNN may sum in another order for another number of channels.
    torch.testing.assert_close(torch.autograd.grad(module(x), x, grad)[0], expected[1])


def test_no_parts_in_channels_last_and_in_exports(monkeypatch):
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    x, layer = torch.randn(2, 5, 9, 8), BlurPool2d(5)
    out = layer(x.to(memory_format=torch.channels_last))
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, layer(x))
    for module in (layer, MaxPool2d(3, 1, 1)):
        graph = torch.export.export(module, (x,)).graph
        assert not any("cat" in str(node.target) for node in graph.nodes)
    assert torch.equal(MaxPool2d(3, 1, 1)(x), F.max_pool2d(x, 3, 1, 1))
