import pytest
import torch

from aa_detectron.layers.kernels import filter_plain, in_place
from aa_detectron.layers.padding import pad_same

OPTIONS = (2, "reflect", "all")
LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "groups_per_part", [1, 2, 3, 4, 8, 12], ids=lambda groups: f"{groups} groups"
)
def test_parts_of_any_size(groups_per_part, channels, layout, monkeypatch):
    """Three images with 4 groups: parts with one group, with an image and with several images."""
    x = torch.randn(3, 4 * channels, 9, 7, dtype=torch.float64).to(memory_format=layout)
    weights = torch.randn(3, 4, 9, 5, 4, dtype=torch.float64)
    x.requires_grad_(), weights.requires_grad_()
    expected = filter_plain(x, weights, *OPTIONS)
    grad = torch.randn_like(expected)
    expected_gradients = torch.autograd.grad(expected, (x, weights), grad)

    monkeypatch.setattr(in_place, "PART_BYTES", groups_per_part * x[0, :channels].nbytes)
    with torch.no_grad():
        out = in_place.forward(x, weights, *OPTIONS)
        gradients = (
            in_place.grad_x(grad, x, weights, *OPTIONS),
            in_place.grad_weights(grad, x, weights, *OPTIONS),
        )
    torch.testing.assert_close((out, *gradients), (expected, *expected_gradients))


def test_only_a_cpu_gets_parts(monkeypatch):
    """Elsewhere, more operators would take more time."""
    calls = []
    monkeypatch.setattr(in_place, "PART_BYTES", 1)
    monkeypatch.setattr(
        in_place, "pad_same", lambda x, *args: calls.append(x.device.type) or pad_same(x, *args)
    )
    for device in ("cpu", "meta"):
        x, weights = torch.ones(2, 8, 6, 6, device=device), torch.ones(2, 4, 9, 3, 3, device=device)
        in_place.forward(x, weights, *OPTIONS)
    assert calls == ["cpu"] * 8 + ["meta"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_batch_of_no_image(layout):
    x, weights = torch.randn(0, 8, 6, 6).to(memory_format=layout), torch.randn(0, 2, 9, 3, 3)
    assert in_place.forward(x, weights, *OPTIONS).shape == (0, 8, 3, 3)
    grad = torch.randn(0, 8, 3, 3)
    assert in_place.grad_x(grad, x, weights, *OPTIONS).shape == x.shape
    assert in_place.grad_weights(grad, x, weights, *OPTIONS).shape == weights.shape
