import logging

import pytest
import torch
import torchvision
from checkpoint.networks import features, randomise, zhang, zou

from aa_detectron import models
from aa_detectron.checkpoint import convert
from aa_detectron.checkpoint.namings import MSRA
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d
from aa_detectron.models import aa_resnet, aa_resnet18, aa_resnet50


def written(weights, path):
    torch.save(weights, path)
    return str(path)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d"])
def test_without_filters_equals_torchvision(name, tmp_path):
    """Logits, gradients and running statistics, in training and in evaluation."""
    theirs = randomise(getattr(torchvision.models, name)(num_classes=10))
    path = written(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = getattr(models, f"aa_{name}")(filter="none", num_classes=10, weights=path)
    x = torch.randn(2, 3, 70, 64)
    for training in (False, True, False):
        outputs = [model.train(training)(x) for model in (theirs, ours)]
        torch.testing.assert_close(outputs[1], outputs[0])
        if training:
            for output in outputs:
                output.square().sum().backward()
    torch.testing.assert_close(ours.linear.weight.grad, theirs.fc.weight.grad)
    torch.testing.assert_close(ours.stem.conv1.weight.grad, theirs.conv1.weight.grad)
    assert len(list(ours.parameters())) == len(list(theirs.parameters()))
    assert all(parameter.requires_grad for parameter in ours.parameters())


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_as_many_parameters_as_torchvision(depth):
    with torch.device("meta"):
        ours = getattr(models, f"aa_resnet{depth}")(filter="blur")
        theirs = getattr(torchvision.models, f"resnet{depth}")()
    shapes = [sorted(p.shape for p in model.parameters()) for model in (ours, theirs)]
    assert shapes[0] == shapes[1]


def test_starts_like_torchvision():
    """Spread of the weights, each within a tenth of what is drawn there."""
    ours, theirs = aa_resnet18(filter="none"), torchvision.models.resnet18()
    theirs = {p.shape: p.std().item() for p in theirs.parameters() if p.dim() > 1}
    for parameter in ours.parameters():
        if parameter.dim() > 1:
            assert parameter.std().item() == pytest.approx(theirs[parameter.shape], rel=0.1)


@pytest.mark.parametrize("name", ["aa_resnet18", "aa_resnet50", "aa_resnext50_32x4d"])
@pytest.mark.parametrize("filter", ["blur", "adaptive"])
def test_seven_filters_and_their_options(name, filter):
    model = getattr(models, name)(filter=filter, kernel_size=5, groups=4, num_classes=3)
    kind = {"blur": BlurPool2d, "adaptive": AdaptiveBlurPool2d}[filter]
    filters = [module for module in model.modules() if isinstance(module, kind)]
    assert len(filters) == 7 and all(module.stride == 2 for module in filters)
    if filter == "adaptive":
        assert {(module.kernel_size, module.groups) for module in filters} == {(5, 4)}
    assert model(torch.randn(2, 3, 33, 64)).shape == (2, 3)
    assert all(module.kernel.shape == (5, 5) for module in filters if filter == "blur")


def test_a_filter_for_each_place(tmp_path, caplog):
    """Filters with and without weights; the file has neither a config nor notes."""
    options = {"groups": 4, "predictor_groups": 2, "predictor_kernel": 5, "num_classes": 3}
    model = aa_resnet18(filter=["blur", "adaptive", "none", "pasa"], **options)
    kinds = [model.stem.aa, model.res3[0].aa, model.res4[0].aa, model.res5[0].aa_shortcut]
    classes = [BlurPool2d, AdaptiveBlurPool2d, torch.nn.Identity, AdaptiveBlurPool2d]
    assert [type(kind) for kind in kinds] == classes
    assert [kinds[1].softmax, kinds[3].softmax] == ["group", "all"]
    path = written(model.state_dict(), tmp_path / "kept.pth")
    loaded = aa_resnet18(filter="blur,adaptive,none,pasa", weights=path, **options)
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(loaded.eval()(x), model.eval()(x))


def test_no_classifier():
    assert aa_resnet50(num_classes=None)(torch.randn(1, 3, 64, 64)).shape == (1, 2048, 2, 2)


@torch.no_grad()
def test_a_classifier_in_the_file_is_left_out_where_the_network_has_none(tmp_path):
    theirs = randomise(torchvision.models.resnet18(num_classes=5))
    path = written(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = aa_resnet18(filter="none", num_classes=None, weights=path).eval()
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(ours(x), features(theirs, x)["res5"])


def test_a_training_step_reaches_every_weight():
    model = aa_resnet18(init="kaiming", num_classes=3)
    model(torch.randn(2, 3, 64, 64)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_ordinary_weights_in_an_adaptive_network(tmp_path):
    """Only the filters are new; it starts as the blurred network."""
    theirs = randomise(torchvision.models.resnet18())
    path = written(theirs.state_dict(), tmp_path / "theirs.pth")
    adaptive, blur = (aa_resnet18(filter=f, weights=path).eval() for f in ("adaptive", "blur"))
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(adaptive(x), blur(x))


@torch.no_grad()
def test_published_networks(tmp_path, caplog):
    """Zhang's and Zou's, under their options; a warning tells of others."""
    x = torch.randn(2, 3, 64, 64)
    blur = {"filter": "blur", "kernel_size": 4, "stem_pool_size": 2}
    adaptive = {"groups": 4, "softmax": "all", "init": "kaiming", "stem_pool_size": 2}
    for network, options in ((zhang(1, 4, width=64), blur), (zou(1, 3, 4, width=64), adaptive)):
        path = written(network.state_dict(), tmp_path / "published.pth")
        model = aa_resnet18(num_classes=7, weights=path, **options).eval()
        expected = features(network, x)["linear"]
        assert (model(x) - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        aa_resnet18(num_classes=7, weights=path, **adaptive | {"stem_pool_size": 3})
    (record,) = caplog.records
    assert "published.pth" in record.getMessage() and "STEM_POOL_SIZE 2" in record.getMessage()


def test_warns_of_the_images_and_strides_of_msra(tmp_path, caplog):
    """Filters take the stride; torchvision's weights fit."""
    with torch.device("meta"):
        weights = torchvision.models.resnet50().state_dict()
    weights = {name: torch.ones(weight.shape) for name, weight in weights.items()}
    path = written(weights, tmp_path / "torchvision.pth")
    aa_resnet50(filter="none", weights=path)
    assert not caplog.records
    converted = convert({"model": weights}, path)
    notes = {**MSRA.inputs, "config": converted.notes["config"] | MSRA.config}
    path = written({"model": converted.weights, "notes": notes}, tmp_path / "R-50.pth")
    for filter, stride in (("none", True), ("blur", False)):
        caplog.clear()
        aa_resnet50(filter=filter, weights=path)
        (message,) = [record.getMessage() for record in caplog.records]
        assert "INPUT.FORMAT BGR, MODEL.PIXEL_MEAN [103.53, 116.28, 123.675], " in message
        assert ("MODEL.RESNETS.STRIDE_IN_1X1 True" in message) == stride
    written({"model": converted.weights, "notes": {"pixel_mean": 5}}, path)
    with pytest.raises(InputError, match="R-50.pth: .*pixel_mean.* in its notes are illegal"):
        aa_resnet50(filter="none", weights=path)


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"num_classes": 6}, "linear.weight is 10x512 in the file and 6x512 in"),
        ({"filter": "blur"}, "stem.aa.predictor.weight is not in the network"),
        ({"groups": 4}, "stem.aa.predictor.weight is 72x64x3x3 in the file and 36x64x3x3 in the"),
        ({"depth": 34}, "res2.2.conv1.weight is missing"),
    ],
)
def test_weights_of_another_network(options, reason, tmp_path):
    path = written(aa_resnet18(num_classes=10).state_dict(), tmp_path / "kept.pth")
    with pytest.raises(InputError, match=f"kept.pth: .*{reason}"):
        aa_resnet(**{"depth": 18, "num_classes": 10, "weights": path} | options)


@pytest.mark.parametrize(
    "option, found",
    [
        ("filter", "box"),
        ("filter", "blur,blur"),
        ("predictor_groups", 3),
        ("depth", 20),
        ("kernel_size", 4),
        ("groups", 7),
    ],
)
def test_illegal_option(option, found):
    with pytest.raises(InvalidOption, match=f"{option} is {found!r}, but must be"):
        aa_resnet(**{"depth": 18} | {option: found})
