import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from helpers import CONFIGS

from aa_detectron import add_aa_config
from aa_detectron.errors import InvalidOption


def build(*options):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.merge_from_file(str(CONFIGS / "Base-AA-Shapes-Classification.yaml"))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", *options])
    torch.manual_seed(0)
    return build_model(cfg)


def inputs(size=64):
    return [
        {"image": torch.randint(0, 256, (3, size, size), dtype=torch.uint8), "category_id": c}
        for c in (2, 0, 5)
    ]


@torch.no_grad()
@pytest.mark.parametrize("features", [["linear"], ["res5", "linear"]])
def test_logits_written_out(features):
    """Normalised, through all four stages, averaged, linear."""
    model = build("MODEL.RESNETS.OUT_FEATURES", features).eval()
    batch = inputs()
    x = torch.stack([item["image"] for item in batch]).float()
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    net = model.backbone
    x = net.res5(net.res4(net.res3(net.res2(net.stem((x - mean) / std)))))
    expected = F.linear(x.mean(dim=(2, 3)), net.linear.weight, net.linear.bias)
    logits = torch.stack([output["logits"] for output in model(batch)])
    torch.testing.assert_close(logits, expected)
    assert logits.shape == (3, 6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_written_out(smoothing):
    model = build("MODEL.CLASSIFIER.LABEL_SMOOTHING", smoothing)
    batch = inputs()
    model.eval()
    log_p = torch.stack([output["logits"] for output in model(batch)]).log_softmax(dim=1)
    targets = F.one_hot(torch.tensor([2, 0, 5]), 6) * (1 - smoothing) + smoothing / 6
    expected = -(targets * log_p).sum(dim=1).mean()
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    torch.testing.assert_close(model(batch)["loss_cls"], expected)


def test_every_parameter_has_a_gradient():
    model = build("MODEL.ANTIALIAS.INIT", "kaiming").train()
    model(inputs())["loss_cls"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("features", [["res5"], ["res2", "linear"]])
def test_no_classifier_of_the_whole_backbone(features):
    with pytest.raises(InvalidOption, match="MODEL.RESNETS.OUT_FEATURES .*linear"):
        build("MODEL.RESNETS.OUT_FEATURES", features)


def test_label_smoothing_out_of_range():
    with pytest.raises(InvalidOption, match="label_smoothing is 1.0"):
        build("MODEL.CLASSIFIER.LABEL_SMOOTHING", 1.0)
