"""One filter for each of stem, res3, res4 and res5."""

import logging

import pytest
import torch
from detectron2.modeling import build_backbone, build_model
from modeling.test_missing_filters import config as c4_config
from modeling.test_missing_filters import warnings_of
from modeling.test_resnet import build, image, narrow
from torch import nn

from aa_detectron.errors import InvalidOption
from aa_detectron.layers import (
    LOWPASS_REGISTRY,
    AdaptiveBlurPool2d,
    BlurPool2d,
    FilterOptions,
    FrequencyPool2d,
)
from aa_detectron.modeling.build import build_resnet

MIXED = "blur,adaptive,flc,none"
KINDS = {
    "stem.aa": BlurPool2d,
    "res3.0.aa": AdaptiveBlurPool2d,
    "res3.0.aa_shortcut": AdaptiveBlurPool2d,
    "res4.0.aa": FrequencyPool2d,
    "res4.0.aa_shortcut": FrequencyPool2d,
    "res5.0.aa": nn.Identity,
    "res5.0.aa_shortcut": nn.Identity,
}


@pytest.fixture
def caplog(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("aa_detectron"), "propagate", True)
    return caplog


def assert_kinds(network):
    for name, kind in KINDS.items():
        assert type(network.get_submodule(name)) is kind, name
    strides = [network.res4[0].conv1, network.res4[0].conv2, network.res5[0].conv1]
    assert [conv.stride for conv in strides] == [(1, 1), (1, 1), (2, 2)]


def test_in_a_config():
    network = build(narrow(MIXED))
    assert_kinds(network)
    sizes = [tuple(output.shape[2:]) for output in network(image(70, 97)).values()]
    assert sizes == [(18, 25), (9, 13), (5, 7), (3, 4)]


def test_as_plain_arguments():
    options = FilterOptions(MIXED)
    assert_kinds(build_resnet(50, lowpass=options.lowpass_per_place, stride_in_1x1=True))
    with pytest.raises(InvalidOption, match="^lowpass is .*four for stem, res3, res4, res5"):
        build_resnet(50, lowpass=[FilterOptions("blur").lowpass] * 3)


@torch.no_grad()
@pytest.mark.parametrize("name", ["none", "blur", "adaptive"])
def test_one_name_four_times(name):
    """The same network with the same random weights."""
    once, four_times = build(narrow(name)), build(narrow(",".join([name] * 4)))
    states = once.state_dict(), four_times.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    for a, b in zip(once(image()).values(), four_times(image()).values(), strict=True):
        assert torch.equal(a, b)


def test_a_plain_stem_keeps_its_pooling():
    stem = build(narrow("none,blur,blur,blur")).stem
    assert (stem.pool.kernel_size, stem.pool.stride) == (3, 2)
    assert isinstance(stem.aa, nn.Identity)


def test_a_frozen_stem_with_a_fixed_blur():
    """No gradient has to run back to the stem, unlike with an adaptive filter there."""
    cfg = narrow("blur,adaptive,adaptive,adaptive")
    cfg.MODEL.BACKBONE.FREEZE_AT = 2
    network = build(cfg).train()
    network(image())["res5"].square().sum().backward()
    trained = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert trained == {"res3", "res4", "res5"}


@pytest.mark.parametrize("name", ["pasa", "gaussian", "wavelet", "flc", "asap", MIXED])
def test_a_training_step(name):
    network = build(narrow(name, NORM="BN")).train()
    network(image())["res5"].square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_dilated_stages():
    """Filters of stride 1; a plain place keeps none."""
    network = build(narrow("adaptive,adaptive,adaptive,asap", RES5_DILATION=2))
    assert isinstance(network.res5[0].aa, FrequencyPool2d) and network.res5[0].aa.stride == 1
    network = build(narrow("adaptive,adaptive,adaptive,none", RES5_DILATION=2))
    assert isinstance(network.res5[0].aa, nn.Identity)


def test_filters_of_the_users_own():
    @LOWPASS_REGISTRY.register()
    def test_per_place(cfg, channels, stride):
        return nn.AvgPool2d(stride, ceil_mode=True)

    network = build(narrow("test_per_place,blur,blur,test_per_place"))
    assert isinstance(network.stem.aa, nn.AvgPool2d) and isinstance(
        network.res5[0].aa, nn.AvgPool2d
    )
    assert isinstance(network.res3[0].aa, BlurPool2d)


def test_res5_in_the_heads():
    model = build_model(c4_config("none,none,none,adaptive"))
    assert isinstance(model.roi_heads.res5[0].aa, AdaptiveBlurPool2d)
    assert isinstance(model.backbone.stem.aa, nn.Identity)
    model = build_model(c4_config("adaptive,adaptive,adaptive,none"))
    assert isinstance(model.roi_heads.res5[0].aa, nn.Identity)
    assert model.roi_heads.res5[0].conv1.stride == (2, 2)


def test_warning_of_missing_filters(caplog):
    assert not warnings_of(c4_config("blur,adaptive,adaptive,none"), caplog)
    assert not warnings_of(c4_config("blur,blur,blur,none", heads="Res5ROIHeads"), caplog)
    cfg = c4_config("blur,none,none,blur", heads="Res5ROIHeads")
    (message,) = warnings_of(cfg, caplog)
    assert "only 1 of 3 places" in message and "roi_heads.res5.0.aa, " in message
    assert "'blur,none,none,blur'" in message


@pytest.mark.parametrize("name", ["blur,adaptive", "blur,adaptive,adaptive,sinc"])
def test_illegal_names(name):
    with pytest.raises(InvalidOption, match="^MODEL.ANTIALIAS.NAME is "):
        build_backbone(narrow(name))
