"""``torch.jit.script`` compiles every filter, and the result equals eager mode."""

import copy
import io

import pytest
import torch
from detectron2.export.torchscript_patch import patch_nonscriptable_classes

from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d, FilterOptions
from aa_detectron.layers.adaptive_blur_pool import ADAPTIVITIES, SOFTMAX_AXES
from aa_detectron.layers.build import KINDS
from aa_detectron.modeling.build import build_resnet

SIZES = [(9, 8), (1, 5), (1, 1)]


def randomize(network):
    """Draws all weights and statistics of the norms anew: the filters depend on the map."""
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn_like(value) * 0.3
            value.copy_(noise.abs() + 0.5 if "running_var" in name else noise)
    return network


def saved_and_loaded(scripted):
    file = io.BytesIO()
    torch.jit.save(scripted, file)
    file.seek(0)
    return torch.jit.load(file)


def assert_scripts(network, *inputs):
    expected = [network(x) for x in inputs]
    scripted = saved_and_loaded(torch.jit.script(copy.deepcopy(network)))
    for x, y in zip(inputs, expected, strict=True):
        torch.testing.assert_close(scripted(x), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding_mode", ["reflect", "replicate", "zeros"])
@pytest.mark.parametrize("kernel_size, stride", [(2, 2), (3, 1), (5, 2)])
def test_blur(kernel_size, stride, padding_mode):
    layer = BlurPool2d(8, kernel_size, stride, padding_mode)
    assert_scripts(layer, *(torch.randn(2, 8, *size) for size in SIZES))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_every_name(name, stride):
    layer = randomize(FilterOptions(name).build(8, stride)).eval()
    assert_scripts(layer, *(torch.randn(2, 8, *size) for size in SIZES))


@pytest.mark.parametrize("norm", ["BN", "FrozenBN", "GN", ""])
@pytest.mark.parametrize("softmax", SOFTMAX_AXES)
@pytest.mark.parametrize("adaptivity", ADAPTIVITIES)
def test_adaptive(adaptivity, softmax, norm):
    torch.manual_seed(0)
    layer = AdaptiveBlurPool2d(8, groups=2, adaptivity=adaptivity, softmax=softmax, norm=norm)
    assert_scripts(randomize(layer).eval(), *(torch.randn(2, 8, *size) for size in SIZES))


@pytest.mark.parametrize("padding_mode", ["replicate", "zeros"])
@pytest.mark.parametrize("kernel_size, stride", [(3, 1), (5, 2)])
def test_adaptive_kernels(kernel_size, stride, padding_mode):
    torch.manual_seed(0)
    layer = AdaptiveBlurPool2d(8, kernel_size, stride, groups=4, padding_mode=padding_mode)
    assert_scripts(randomize(layer).eval(), *(torch.randn(2, 8, *size) for size in SIZES))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_of_the_output(dtype):
    layer = AdaptiveBlurPool2d(8).to(dtype).eval()
    assert torch.jit.script(layer)(torch.randn(1, 8, 6, 6, dtype=dtype)).dtype == dtype


def test_training():
    """Both modes are in the script: the statistics and gradients are those of eager mode."""
    torch.manual_seed(0)
    layers = [randomize(AdaptiveBlurPool2d(8, groups=2))]
    layers.append(torch.jit.script(copy.deepcopy(layers[0])))
    x = torch.randn(2, 8, 9, 8)
    for layer in layers:
        layer(x).square().sum().backward()
    eager, scripted = ([*a.parameters()] for a in layers)
    for a, b in zip(eager, scripted, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-4)
    eager, scripted = (dict(a.named_buffers()) for a in layers)
    torch.testing.assert_close(eager, scripted)


@pytest.mark.parametrize("stem_type", ["basic", "deeplab"])
@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("name", ["none", "blur", "adaptive"])
def test_resnet(name, depth, stem_type):
    torch.manual_seed(0)
    lowpass = FilterOptions(name, groups=4, init="kaiming").lowpass
    network = build_resnet(
        depth,
        lowpass=lowpass,
        stem_type=stem_type,
        norm="BN",
        stem_out_channels=16,
        res2_out_channels=16,
        width_per_group=16,
        out_features=["res2", "res5"],
    )
    patch_nonscriptable_classes()  # makes Detectron2's own ResNet scriptable
    network = randomize(network.double()).eval()  # float32 would round away the comparison
    assert_scripts(network, torch.randn(1, 3, 65, 64, dtype=torch.float64))
