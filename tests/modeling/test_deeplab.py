"""DeepLab v3+: sizes, gradients, losses, and its peace with Detectron2's DeepLab project."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone, build_model
from helpers import CONFIGS, ROOT

from aa_detectron import add_aa_config
from aa_detectron.errors import InvalidOption
from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d
from aa_detectron.modeling.deeplab import (
    AADeepLabV3PlusHead,
    hard_pixel_cross_entropy,
    labeled_cross_entropy,
)
from aa_detectron.modeling.resnet import AABasicBlock, AADeepLabStem

NAMES = ["none", "blur", "adaptive"]
NARROW_R50 = [
    "MODEL.RESNETS.DEPTH", 50, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64,
    "MODEL.RESNETS.WIDTH_PER_GROUP", 16, "MODEL.RESNETS.RES5_MULTI_GRID", [1, 2, 4],
]  # fmt: skip
STRIDES = {8: ("RES4_DILATION", 2, "RES5_DILATION", 4), 16: ()}


def config(name="adaptive", output_stride=16, *options):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.merge_from_file(str(CONFIGS / "Base-AA-Shapes-SemanticSegmentation.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.ANTIALIAS.NAME = name
    stride = STRIDES[output_stride]
    cfg.merge_from_list([f"MODEL.RESNETS.{v}" if isinstance(v, str) else v for v in stride])
    cfg.merge_from_list(list(options))
    return cfg


def filters(model):
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (BlurPool2d, AdaptiveBlurPool2d))
    }


@pytest.mark.parametrize("size", [(65, 97), (64, 128)])
@pytest.mark.parametrize("output_stride", STRIDES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("depth", [18, 50])
def test_logits_have_the_images_size_and_every_parameter_a_gradient(
    depth, name, output_stride, size
):
    options = ["MODEL.ANTIALIAS.INIT", "kaiming"] + (NARROW_R50 if depth == 50 else [])
    model = build_model(config(name, output_stride, *options))
    image = torch.rand(3, *size) * 255
    labels = torch.randint(0, 7, size)
    pair = [{"image": image, "sem_seg": labels}, {"image": image.flip(-1), "sem_seg": labels}]
    model.train()(pair)["loss_sem_seg"].backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key
    with torch.no_grad():
        logits = model.eval()([{"image": image}])[0]["sem_seg"]
    assert logits.shape == (7, *size)
    coarse = build_features(model, image)["res5"]
    assert coarse.shape[-2:] == tuple(-(-side // output_stride) for side in size)


@torch.no_grad()
def build_features(model, image):
    return model.backbone(image[None])


@pytest.mark.parametrize("output_stride", STRIDES)
@torch.no_grad()
def test_the_recipes_crop(output_stride):
    model = build_model(config("adaptive", output_stride)).train()
    size = (513, 513)
    losses = model(
        [{"image": torch.rand(3, *size) * 255, "sem_seg": torch.zeros(size, dtype=torch.long)}]
    )
    assert losses["loss_sem_seg"].isfinite()
    logits = model.eval()([{"image": torch.rand(3, *size) * 255}])[0]["sem_seg"]
    assert logits.shape == (7, *size)


@pytest.mark.parametrize(
    "output_stride, strides",
    [(16, {"res3": 2, "res4": 2, "res5": 1}), (8, {"res3": 2, "res4": 1, "res5": 1})],
)
def test_dilated_stages_keep_their_filter_at_stride_one(output_stride, strides):
    cfg = config("blur", output_stride)
    places = {
        f"{stage}.0.{place}": stride
        for stage, stride in strides.items()
        for place in ("aa", "aa_shortcut")
    }
    found = {name: module.stride for name, module in filters(build_backbone(cfg)).items()}
    assert found == {"stem.aa": 2} | places
    cfg.MODEL.ANTIALIAS.DILATED = False
    left = {name: stride for name, stride in found.items() if stride == 2}
    assert {n: m.stride for n, m in filters(build_backbone(cfg)).items()} == left


def test_dilations():
    cfg = config("none", 8, *NARROW_R50)
    modules = build_backbone(cfg).named_modules()
    dilations = {n: m.dilation[0] for n, m in modules if isinstance(m, torch.nn.Conv2d)}
    dilated = {n: dilation for n, dilation in dilations.items() if dilation > 1}
    res4 = {f"res4.{block}.conv2": 2 for block in range(6)}
    assert dilated == res4 | {"res5.0.conv2": 4, "res5.1.conv2": 8, "res5.2.conv2": 16}


@torch.no_grad()
def test_dilated_basic_block_written_out():
    block = AABasicBlock(6, 8, stride=1, dilation=3, norm="")
    x = torch.randn(1, 6, 11, 12)
    out = F.conv2d(x, block.conv1.weight, padding=3, dilation=3).relu()
    out = F.conv2d(out, block.conv2.weight, padding=3, dilation=3)
    torch.testing.assert_close(block(x), (out + F.conv2d(x, block.shortcut.weight)).relu())


@torch.no_grad()
def test_deeplab_stem_written_out():
    stem = AADeepLabStem(3, 16, "", lowpass=lambda c, s: BlurPool2d(c, 3, s))
    x = torch.randn(1, 3, 33, 40)
    out = F.conv2d(x, stem.conv1.weight, stride=2, padding=1).relu()
    out = F.conv2d(out, stem.conv2.weight, padding=1).relu()
    out = F.conv2d(out, stem.conv3.weight, padding=1).relu()
    out = BlurPool2d(16)(F.max_pool2d(out, 3, stride=1, padding=1))
    torch.testing.assert_close(stem(x), out)
    assert [stem.conv1.out_channels, stem.conv2.out_channels, out.shape[1]] == [8, 8, 16]


@pytest.mark.parametrize("norm", ["", None])
@torch.no_grad()
def test_head_written_out(norm):
    """ASPP of a 1x1 map apart (Detectron2's own), the decoder by hand."""
    shapes = {"res2": ShapeSpec(channels=6, stride=4), "res5": ShapeSpec(channels=8, stride=16)}
    head = AADeepLabV3PlusHead(
        shapes,
        num_classes=5,
        project_channels=[4],
        decoder_channels=[7],
        aspp_channels=9,
        aspp_dilations=[1, 2, 3],
        aspp_dropout=0.0,
        common_stride=4,
        norm=norm,
    ).eval()
    torch.nn.init.normal_(head.predictor.weight)
    assert head.decoder["res2"]["project_conv"].bias is not None
    maps = {"res2": torch.randn(2, 6, 9, 13), "res5": torch.randn(2, 8, 3, 4)}
    low_level = head.decoder["res2"]["project_conv"]
    x = F.conv2d(maps["res2"], low_level.weight, low_level.bias).relu()
    y = head.decoder["res5"]["project_conv"](maps["res5"])
    y = F.interpolate(y, (9, 13), mode="bilinear", align_corners=False)
    y = torch.cat([x, y], dim=1)
    for conv in head.decoder["res2"]["fuse_conv"]:
        y = F.conv2d(y, conv.weight, conv.bias, padding=1).relu()
    y = F.conv2d(y, head.predictor.weight, head.predictor.bias)
    y = F.interpolate(y, (36, 52), mode="bilinear", align_corners=False)
    torch.testing.assert_close(head(maps)[0], y)


def test_separable_convs():
    cfg = config("none", 16, "MODEL.SEM_SEG_HEAD.USE_DEPTHWISE_SEPARABLE_CONV", True)
    head = build_model(cfg).sem_seg_head
    convs = [m for m in head.decoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(m.groups == m.in_channels for m in convs if m.kernel_size != (1, 1))


def written_out_losses(logits, targets, ignored):
    return [
        0.0 if t == ignored else float(torch.logsumexp(row, 0) - row[t])
        for row, t in zip(logits.permute(0, 2, 3, 1).reshape(-1, 3), targets.flatten(), strict=True)
    ]


def test_losses_written_out():
    logits, targets = torch.randn(2, 3, 5, 4), torch.randint(0, 3, (2, 5, 4))
    targets[0, :2] = 9
    losses = written_out_losses(logits, targets, 9)
    expected = sum(losses) / int((targets != 9).sum())
    assert labeled_cross_entropy(logits, targets, 9).item() == pytest.approx(expected)
    expected = sum(sorted(losses)[-8:]) / 8  # 20 % of 40
    assert hard_pixel_cross_entropy(logits, targets, 9).item() == pytest.approx(expected)


def test_nothing_labelled_is_no_loss():
    logits, targets = torch.randn(1, 3, 4, 4), torch.full((1, 4, 4), 9)
    assert labeled_cross_entropy(logits, targets, 9) == 0
    assert hard_pixel_cross_entropy(logits, targets, 9) == 0


@pytest.mark.parametrize(
    "option, found",
    [
        ("MODEL.RESNETS.STEM_TYPE", "deep"),
        ("MODEL.RESNETS.RES4_DILATION", 3),
        ("MODEL.RESNETS.RES5_DILATION", 4),
        ("MODEL.RESNETS.RES5_MULTI_GRID", [1, 2, 4]),
        ("MODEL.SEM_SEG_HEAD.PROJECT_FEATURES", ["res5"]),
    ],
)
def test_refused(option, found):
    cfg = config("adaptive", 16, option, found)
    with pytest.raises(InvalidOption, match=option):
        build_model(cfg)


@pytest.mark.parametrize(
    "option, found", [("LOSS_TYPE", "focal"), ("PROJECT_CHANNELS", [4, 4]), ("COMMON_STRIDE", 8)]
)
def test_refused_by_the_head(option, found):
    with pytest.raises(InvalidOption, match=option.lower()):
        build_model(config("none", 16, f"MODEL.SEM_SEG_HEAD.{option}", found))


# Names and defaults that Detectron2's DeepLab project (June 2026) registers and sets, for builds
# that do not bring it.
STAND_IN = """
from detectron2.modeling import BACKBONE_REGISTRY, SEM_SEG_HEADS_REGISTRY
for name in ("DeepLabV3PlusHead", "DeepLabV3Head"):
    SEM_SEG_HEADS_REGISTRY.register(type(name, (), {}))
def build_resnet_deeplab_backbone(): pass
BACKBONE_REGISTRY.register(build_resnet_deeplab_backbone)
def add_deeplab_config(cfg):
    cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA = 1.0
    cfg.SOLVER.POLY_LR_POWER, cfg.SOLVER.POLY_LR_CONSTANT_ENDING = 0.9, 0.0
    head = cfg.MODEL.SEM_SEG_HEAD
    head.LOSS_TYPE = "hard_pixel_mining"
    head.PROJECT_FEATURES, head.PROJECT_CHANNELS = ["res2"], [48]
    head.ASPP_CHANNELS, head.ASPP_DILATIONS, head.ASPP_DROPOUT = 256, [6, 12, 18], 0.1
    head.USE_DEPTHWISE_SEPARABLE_CONV = False
    cfg.MODEL.RESNETS.RES4_DILATION = 1
    cfg.MODEL.RESNETS.RES5_MULTI_GRID = [1, 2, 4]
    cfg.MODEL.RESNETS.STEM_TYPE = "deeplab"
"""
PROJECT = "from detectron2.projects.deeplab import add_deeplab_config\n"
OURS = "from aa_detectron import add_aa_config\n"
SAME_CONFIG = """
from detectron2.config import get_cfg
first, second, ours = get_cfg(), get_cfg(), get_cfg()
add_aa_config(first); add_deeplab_config(first)
add_deeplab_config(second); add_aa_config(second)
add_aa_config(ours)
assert first.dump() == second.dump() == ours.dump()
"""


@pytest.mark.parametrize("theirs", [STAND_IN, PROJECT], ids=["stand-in", "project"])
@pytest.mark.parametrize("ours_first", [True, False])
def test_detectron2s_project_beside_ours(theirs, ours_first):
    if theirs is PROJECT:
        pytest.importorskip("detectron2.projects.deeplab")
    code = OURS + theirs if ours_first else theirs + OURS
    subprocess.run([sys.executable, "-c", code + SAME_CONFIG], check=True, cwd=ROOT)


@torch.no_grad()
@pytest.mark.parametrize("stem", ["basic", "deeplab"])
@pytest.mark.parametrize("output_stride", STRIDES)
def test_without_antialiasing_equals_detectron2s_project(output_stride, stem):
    pytest.importorskip("detectron2.projects.deeplab")
    options = ["MODEL.RESNETS.STEM_TYPE", stem, *NARROW_R50]
    ours = config("none", output_stride, *options)
    theirs = ours.clone()
    theirs.MODEL.BACKBONE.NAME = "build_resnet_deeplab_backbone"
    theirs.MODEL.SEM_SEG_HEAD.NAME = "DeepLabV3PlusHead"
    models = []
    for cfg in (ours, theirs):
        torch.manual_seed(0)
        models.append(build_model(cfg).eval())
    torch.nn.init.normal_(models[0].sem_seg_head.predictor.weight)
    models[1].load_state_dict(models[0].state_dict())
    image = torch.rand(3, 64, 96) * 255
    first, second = (model([{"image": image}])[0]["sem_seg"] for model in models)
    assert torch.equal(first, second)
