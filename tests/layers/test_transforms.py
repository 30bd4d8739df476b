"""The transforms of torch.func, against autograd."""

import pytest
import torch
from torch.func import functional_call, grad, jvp, vmap

from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d, FrequencyPool2d, GaussianBlurPool2d

LAYERS = {
    "adaptive": lambda: AdaptiveBlurPool2d(4, groups=2, norm="GN", init="kaiming"),
    "adaptive, one filter per image": lambda: AdaptiveBlurPool2d(
        4, groups=2, adaptivity="channel", softmax="all", norm="BN", predictor_smooth=True
    ),
    "blur": lambda: BlurPool2d(4),
    "gaussian": lambda: GaussianBlurPool2d(4),
    "flc": lambda: FrequencyPool2d(4),
}


@pytest.fixture(params=LAYERS)
def layer(request):
    torch.manual_seed(0)
    return LAYERS[request.param]().eval().double()


X = torch.randn(3, 4, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gradient(function, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(function(x), x)[0]


def test_grad_and_vmap_of_it(layer):
    def loss(image):
        return layer(image[None]).square().sum()

    expected = torch.stack([gradient(loss, image) for image in X])
    torch.testing.assert_close(grad(lambda x: layer(x).square().sum())(X), expected)
    torch.testing.assert_close(vmap(grad(loss))(X), expected)
    torch.testing.assert_close(vmap(lambda image: layer(image[None])[0])(X), layer(X))


def test_jvp(layer):
    """The derivative along a direction, against a difference quotient."""
    direction, step = torch.ones_like(X), 1e-6
    _, found = jvp(layer, (X,), (direction,))
    expected = (layer(X + step * direction) - layer(X - step * direction)) / (2 * step)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-6)


def test_gradients_of_the_weights_for_each_image():
    layer = LAYERS["adaptive"]().double()

    def loss(weights, image):
        return functional_call(layer, weights, (image[None],)).square().sum()

    weights = {name: weight.detach() for name, weight in layer.named_parameters()}
    found = vmap(grad(loss), in_dims=(None, 0))(weights, X)
    layer(X).square().sum().backward()
    for name, weight in layer.named_parameters():
        torch.testing.assert_close(found[name].sum(0), weight.grad)
