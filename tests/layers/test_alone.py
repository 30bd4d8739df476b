"""The layers with PyTorch alone, against the layers beside Detectron2."""

import torch
from helpers import run_without

from aa_detectron.layers import AdaptiveBlurPool2d

OTHERS = ["detectron2", "fvcore", "iopath", "yacs", "torchvision", "numba"]
NORMS = ["BN", "SyncBN", "GN", ""]


def test_layers_with_pytorch_alone(tmp_path):
    """Names of weights and outputs are the same, from the same weights."""
    torch.manual_seed(0)
    layers = {norm: AdaptiveBlurPool2d(16, groups=4, norm=norm, init="kaiming") for norm in NORMS}
    x = torch.randn(2, 16, 9, 8)
    states = {norm: layer.state_dict() for norm, layer in layers.items()}
    torch.save((x, states), tmp_path / "given.pth")
    code = f"""
import torch
from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d

x, states = torch.load({str(tmp_path / "given.pth")!r})
outputs = {{}}
for norm, state in states.items():
    layer = AdaptiveBlurPool2d(16, groups=4, norm=norm, init="binomial").eval()
    start = layer(x)
    torch.testing.assert_close(start, BlurPool2d(16)(x))
    layer = AdaptiveBlurPool2d(16, groups=4, norm=norm, init="kaiming").eval()
    print(layer.load_state_dict(state))
    outputs[norm] = layer(x)
    outputs[norm].sum().backward()
torch.save(outputs, {str(tmp_path / "outputs.pth")!r})
"""
    printed = run_without(OTHERS, code)
    assert printed.count("All keys matched") == len(NORMS)
    outputs = torch.load(tmp_path / "outputs.pth")
    for norm, layer in layers.items():
        torch.testing.assert_close(outputs[norm], layer.eval()(x))


def test_what_the_layers_cannot_do_alone():
    code = """
from aa_detectron import layers

for use in (
    lambda: layers.AdaptiveBlurPool2d(16, norm="FrozenBN"),
    lambda: layers.LOWPASS_REGISTRY,
    lambda: layers.unknown,
):
    try:
        use()
    except Exception as error:
        print(type(error).__name__, error)
"""
    frozen, registry, unknown = run_without(OTHERS, code).splitlines()
    assert frozen.startswith("InvalidOption norm is 'FrozenBN'") and "torchvision" in frozen
    assert registry.startswith("ImportError aa_detectron.layers.LOWPASS_REGISTRY needs Detectron2")
    assert unknown.startswith("AttributeError")


def test_frozen_norm_of_torchvision():
    code = """
import torch
from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d

layer, x = AdaptiveBlurPool2d(16, norm="FrozenBN"), torch.randn(2, 16, 8, 8)
print(type(layer.predictor.norm).__module__, *layer.state_dict())
torch.testing.assert_close(layer(x), BlurPool2d(16)(x))
"""
    module, *names = run_without(["detectron2", "fvcore"], code).split()
    assert module.startswith("torchvision.")
    assert names == list(AdaptiveBlurPool2d(16, norm="FrozenBN").state_dict())
