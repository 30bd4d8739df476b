"""torch.fx: filters alone, and networks from which torchvision takes features."""

import pickle

import pytest
import torch
from detectron2.layers import Conv2d
from torchvision.models.feature_extraction import create_feature_extractor

from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d, FrequencyPool2d, GaussianBlurPool2d
from aa_detectron.models import aa_resnet18

LAYERS = {
    "adaptive": lambda: AdaptiveBlurPool2d(4, groups=2, init="kaiming"),
    "adaptive, one filter per image": lambda: AdaptiveBlurPool2d(
        4, groups=2, adaptivity="channel", softmax="all", norm="", predictor_smooth=True
    ),
    "blur": lambda: BlurPool2d(4),
    "gaussian": lambda: GaussianBlurPool2d(4),
    "asap": lambda: FrequencyPool2d(4, window="hamming"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_graph_is_the_layer(name):
    """In both modes, under autocast, for other sizes, and after pickling."""
    torch.manual_seed(0)
    layer = LAYERS[name]()
    graph = pickle.loads(pickle.dumps(torch.fx.symbolic_trace(layer)))
    for size in ((8, 8), (7, 9)):
        x = torch.randn(2, 4, *size)
        for training in (True, False):
            torch.testing.assert_close(graph.train(training)(x), layer.train(training)(x))
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(graph(x), layer(x))


@pytest.mark.parametrize("filter", ["none", "adaptive"])
@torch.no_grad()
def test_features_of_a_network(filter):
    """Detectron2's conv asks for the size of its input, which torch.fx cannot trace."""
    network = aa_resnet18(filter=filter, num_classes=3).eval()
    extractor = create_feature_extractor(
        network, {"res3": "res3", "linear": "logits"}, tracer_kwargs={"leaf_modules": [Conv2d]}
    ).eval()
    x = torch.randn(1, 3, 64, 64)
    found = extractor(x)
    torch.testing.assert_close(found["logits"], network(x))
    torch.testing.assert_close(found["res3"], network.res3(network.res2(network.stem(x))))
