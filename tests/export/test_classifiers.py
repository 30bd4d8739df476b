"""Classifiers after scripting, ``torch.export``, both ONNX exporters and ``torch.compile``."""

import copy

import pytest
import torch
from export.deployed import (
    IMAGE,
    OTHER_IMAGES,
    assert_equal,
    classifier,
    exported,
    onnx_of_a_trace,
    onnx_of_an_export,
    randomize,
    short_classifier,
)
from helpers import run_without

from aa_detectron.models import aa_resnet18

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:Constant folding:UserWarning"),
]


@pytest.mark.parametrize("deploy", [exported, onnx_of_a_trace])
@pytest.mark.parametrize("name", ["none", "blur", "adaptive"])
def test_images_of_other_sizes(name, deploy):
    network = classifier(name)
    assert_equal(network, deploy(network, IMAGE), [IMAGE, *OTHER_IMAGES])


def test_onnx_of_an_export():
    network = short_classifier("adaptive", "blur")
    assert_equal(network, onnx_of_an_export(network, IMAGE), [IMAGE, *OTHER_IMAGES])


def test_compiles_to_one_graph():
    """``fullgraph`` rejects graph breaks; outputs and gradients of a training step are equal."""
    network = short_classifier("adaptive", "adaptive").train()
    compiled = torch.compile(copy.deepcopy(network), backend="aot_eager", fullgraph=True)
    x = torch.randn(IMAGE)
    outputs = [module(x) for module in (network, compiled)]
    torch.testing.assert_close(outputs[1], outputs[0])
    for output in outputs:
        output.square().sum().backward()
    for ours, theirs in zip(compiled.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("num_classes", [3, None])
@pytest.mark.parametrize("name", ["none", "blur", "adaptive"])
def test_plain_networks_script(name, num_classes):
    network = randomize(aa_resnet18(filter=name, num_classes=num_classes), 0.05).eval()
    scripted = torch.jit.script(network)
    assert_equal(network, scripted, [(2, 3, 65, 64), (1, 3, 8, 40)])
    assert not scripted.training and set(network.state_dict()) <= set(scripted.state_dict())


def test_scripting_leaves_the_network_as_it_was():
    network = aa_resnet18(filter="blur", num_classes=3)
    names, layers = list(network.state_dict()), list(network.children())
    assert torch.jit.script(network).training
    assert list(network.state_dict()) == names
    assert all(a is b for a, b in zip(network.children(), layers, strict=True))


def test_plain_networks_script_without_detectron2():
    code = """
import torch
from aa_detectron.models import aa_resnet50

network = aa_resnet50(num_classes=3).eval()
x = torch.randn(1, 3, 64, 64)
torch.testing.assert_close(torch.jit.script(network)(x), network(x), rtol=1e-4, atol=1e-5)
"""
    assert run_without(["detectron2", "fvcore", "iopath", "yacs"], code) == ""
