"""Filters after tracing, ``torch.export`` and both ONNX exporters: batches and maps of any size."""

import pytest
import torch
from export.deployed import (
    LAYERS,
    MAP,
    OTHER_MAPS,
    assert_equal,
    exported,
    layer,
    onnx_of_a_trace,
    onnx_of_an_export,
    traced,
)

from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:Constant folding:UserWarning"),
]


@pytest.mark.parametrize("deploy", [traced, exported, onnx_of_a_trace])
@pytest.mark.parametrize("name", LAYERS)
def test_maps_of_other_sizes(name, deploy):
    network = layer(name)
    assert_equal(network, deploy(network, MAP), [MAP, *OTHER_MAPS])


@pytest.mark.parametrize("name", ["blur", "adaptive", "channel", "flc"])
def test_onnx_of_an_export(name):
    network = layer(name)
    assert_equal(network, onnx_of_an_export(network, MAP), [MAP, *OTHER_MAPS])


@pytest.mark.parametrize("kernel_size, smallest", [(3, 2), (5, 3), (7, 4)])
@pytest.mark.parametrize("deploy", [traced, onnx_of_a_trace])
def test_a_trace_cannot_replicate_a_side_too_small_to_reflect(deploy, kernel_size, smallest):
    """The padding of the traced map stays; a smaller map is an error, never a wrong number."""
    network = BlurPool2d(8, kernel_size)
    deployed = deploy(network, MAP)
    assert_equal(network, deployed, [(1, 8, smallest, smallest)])
    for shape in [(1, 8, smallest - 1, 8), (1, 8, 8, smallest - 1)]:
        network(torch.randn(shape))
        with pytest.raises(Exception, match="[Rr]eflect|[Pp]adding size"):
            deployed(torch.randn(shape))


def test_a_trace_of_a_tiny_map_replicates_every_map():
    """Why the page asks for an example that is large enough."""
    network, x = BlurPool2d(8), torch.randn(MAP)
    with pytest.warns(torch.jit.TracerWarning, match="might cause the trace to be incorrect"):
        deployed = traced(network, (1, 8, 1, 1))
    torch.testing.assert_close(deployed(x), BlurPool2d(8, padding_mode="replicate")(x))


def test_an_export_rejects_a_side_too_small_to_reflect():
    program = exported(BlurPool2d(8, 5), MAP)
    with pytest.raises(AssertionError, match="Guard failed"):
        program(torch.randn(1, 8, 2, 8))


@pytest.mark.parametrize("padding_mode", ["replicate", "zeros"])
def test_other_paddings_have_no_smallest_side(padding_mode):
    network = AdaptiveBlurPool2d(8, 5, groups=2, padding_mode=padding_mode).eval()
    shapes = [(1, 8, 1, 1), (1, 8, 2, 5)]
    assert_equal(network, onnx_of_a_trace(network, MAP), shapes)
