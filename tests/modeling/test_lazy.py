"""Networks from plain arguments, against the ones from a config."""

import pytest
import torch
from detectron2.config import LazyCall, instantiate
from detectron2.modeling import build_backbone
from modeling.test_resnet import config, image
from torch import nn

from aa_detectron.errors import InvalidOption
from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d
from aa_detectron.modeling import aa_resnet_backbone, antialiased

OPTIONS = {"kernel_size": 5, "groups": 4, "adaptivity": "channel", "softmax": "all"}
OPTIONS |= {"init": "kaiming", "padding_mode": "zeros"}


def same(first, second):
    """Names, random weights, frozen weights and outputs, to the last bit."""
    state = second.state_dict()
    assert list(first.state_dict()) == list(state)
    assert all(torch.equal(weight, state[name]) for name, weight in first.state_dict().items())
    frozen = [[p.requires_grad for p in network.parameters()] for network in (first, second)]
    assert frozen[0] == frozen[1]
    with torch.no_grad():
        outputs = first.eval()(image()), second.eval()(image())
    assert outputs[0].keys() == outputs[1].keys()
    assert all(torch.equal(outputs[0][name], outputs[1][name]) for name in outputs[0])


@pytest.mark.parametrize("filter, depth", [("none", 18), ("blur", 18), ("adaptive", 50)])
def test_backbone_is_the_one_from_a_config(filter, depth):
    cfg = config(filter, depth=depth, NORM="FrozenBN", STRIDE_IN_1X1=False)
    cfg.MODEL.BACKBONE.FREEZE_AT = 2
    for key, value in (OPTIONS if filter == "adaptive" else {}).items():
        cfg.MODEL.ANTIALIAS[key.upper()] = value
    torch.manual_seed(0)
    expected = build_backbone(cfg)
    torch.manual_seed(0)
    options = OPTIONS if filter == "adaptive" else {}
    same(aa_resnet_backbone(depth, filter, **options), expected)


def test_backbone_from_a_lazy_call():
    call = LazyCall(aa_resnet_backbone)(depth=18, filter="blur", out_features=["res3"])
    call.deform_on_per_stage = [False] * 4
    network = instantiate(call)
    assert list(network.output_shape()) == ["res3"]
    assert isinstance(network.stem.aa, BlurPool2d)


def test_filter_of_the_users_own():
    def average(channels, stride):
        return nn.AvgPool2d(stride, ceil_mode=True)

    assert isinstance(aa_resnet_backbone(18, average).stem.aa, nn.AvgPool2d)
    for option, value in {"kernel_size": 5, "groups": 4, "filter_norm": "BN"}.items():
        with pytest.raises(InvalidOption, match=f"^{option} is {value!r}, but must be left out"):
            aa_resnet_backbone(18, average, **{option: value})


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"filter": "gauss"},
            "^filter is 'gauss', but must be one of 'none', 'blur', 'adaptive',",
        ),
        ({"groups": 7}, "^groups is 7"),
        ({"depth": 20}, "^depth is 20"),
        ({"filter_norm": "XN"}, "^norm is 'XN'"),
    ],
)
def test_illegal_arguments_are_named(arguments, message):
    with pytest.raises(InvalidOption, match=message):
        aa_resnet_backbone(**{"depth": 18} | arguments)


def test_antialiased_changes_a_network_in_place():
    network = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
    assert antialiased(network, "none") is network and network[0].stride == (2, 2)
    assert antialiased(network, "adaptive", groups=2) is network
    assert network[0].stride == (1, 1)
    (filter_,) = [m for m in network.modules() if isinstance(m, AdaptiveBlurPool2d)]
    assert filter_.groups == 2
