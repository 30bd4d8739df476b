"""The layers in timm's own hook, ``aa_layer``."""

import pytest
import timm
import torch

from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d

NETWORKS = (
    *("resnet18", "resnet26d", "seresnet18", "ecaresnet26t", "efficientnet_lite0"),
    *("mobilenetv4_conv_small", "resnet18d"),
)


class Adaptive(AdaptiveBlurPool2d):
    """Random filters: all of their weights have a gradient from the start."""

    def __init__(self, channels, **kwargs):
        super().__init__(channels, groups=4, init="kaiming", **kwargs)


@pytest.mark.parametrize("layer", [BlurPool2d, Adaptive])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_with_our_layer(name, layer):
    """The filters are in the network, and every one of their weights learns."""
    network = timm.create_model(name, aa_layer=layer, num_classes=5)
    filters = [module for module in network.modules() if isinstance(module, layer)]
    assert filters and all(module.stride == 2 for module in filters)
    for module in network.modules():  # residual branches start at zero
        if isinstance(module, torch.nn.BatchNorm2d) and not module.weight.any():
            torch.nn.init.ones_(module.weight)
    logits = network(torch.rand(2, 3, 64, 64))
    assert logits.shape == (2, 5)
    (logits - logits.mean()).square().sum().backward()
    for module in filters:
        assert all(p.grad is not None and p.grad.any() for p in module.parameters())
    with torch.device("meta"):
        timm.create_model(name, aa_layer=layer)
