"""The backbones against Detectron2's own, and where the filters sit in them."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_backbone, build_model
from detectron2.modeling.backbone import resnet
from torchvision.ops import deform_conv2d

from aa_detectron import add_aa_config, compat
from aa_detectron.errors import InvalidOption
from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d
from aa_detectron.modeling.resnet import AABottleneckBlock

PAIRS = [
    ("build_aa_resnet_backbone", "build_resnet_backbone"),
    ("build_aa_resnet_fpn_backbone", "build_resnet_fpn_backbone"),
    ("build_aa_resnet_retinanet_fpn_backbone", "build_retinanet_resnet_fpn_backbone"),
]
NAMES = ["none", "blur", "adaptive"]
STAGES = ["res2", "res3", "res4", "res5"]


def config(name="adaptive", builder="build_aa_resnet_backbone", depth=50, **resnets):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME = builder
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.ANTIALIAS.NAME = name
    cfg.MODEL.RESNETS.DEPTH = depth
    cfg.MODEL.RESNETS.OUT_FEATURES = STAGES
    cfg.MODEL.FPN.IN_FEATURES = STAGES[1:]
    if depth < 50:
        cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    for key, value in resnets.items():
        cfg.MODEL.RESNETS[key] = value
    return cfg


def narrow(name="adaptive", **resnets):
    """A quarter of the width: quick, with every kind of place."""
    width = {"STEM_OUT_CHANNELS": 16, "RES2_OUT_CHANNELS": 64, "WIDTH_PER_GROUP": 16}
    return config(name, **(width | resnets))


def build(cfg, seed=0):
    torch.manual_seed(seed)
    return build_backbone(cfg).eval()


def image(height=64, width=96):
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def filters(model):
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (BlurPool2d, AdaptiveBlurPool2d))
    }


VARIANTS = [
    {"depth": 18},
    {"depth": 34},
    {"depth": 50},
    {"depth": 101},
    {"depth": 152},
    {"NUM_GROUPS": 8, "WIDTH_PER_GROUP": 8},
    {"STRIDE_IN_1X1": False},
    {"RES5_DILATION": 2},
    {"NORM": "BN"},
    {"NORM": "GN"},
]


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_without_antialiasing_equals_detectron2(variant):
    ours, theirs = (build(config("none", builder, **variant)) for builder in PAIRS[0])
    states = ours.state_dict(), theirs.state_dict()
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    x = image()
    expected = theirs(x)
    assert all(torch.equal(map_, expected[key]) for key, map_ in ours(x).items())
    assert ours.output_shape() == theirs.output_shape()


@torch.no_grad()
@pytest.mark.parametrize("builders", PAIRS[1:], ids=lambda b: b[0])
def test_fpn_without_antialiasing_equals_detectron2(builders):
    ours, theirs = (build(config("none", builder, depth=18)) for builder in builders)
    x = image(128, 128)
    expected = theirs(x)
    maps = ours(x)
    assert maps.keys() == expected.keys()
    assert all(torch.equal(maps[key], expected[key]) for key in maps)
    assert ours.size_divisibility == theirs.size_divisibility


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("size", [(64, 96), (65, 33), (9, 40)])
@pytest.mark.parametrize("variant", [{"depth": 18}, *VARIANTS[5:]], ids=str)
def test_sizes_are_those_of_detectron2(variant, size, name):
    x = image(*size)
    expected = build(config(builder="build_resnet_backbone", **variant))(x)
    for key, map_ in build(config(name, **variant))(x).items():
        assert map_.shape == expected[key].shape, key


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_seven_places(depth):
    model = build_backbone(config(depth=depth))
    places = [f"{s}.0.{f}" for s in STAGES[1:] for f in ("aa", "aa_shortcut")]
    assert list(filters(model)) == ["stem.aa", *places]
    assert all(f.stride == 2 for f in filters(model).values())
    strides = {n: m.stride for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d)}
    strided = {n for n, stride in strides.items() if stride != (1, 1)}
    assert strided == {"stem.conv1"} | {f"{n}.predictor" for n in filters(model)}


@torch.no_grad()
def test_bottleneck_written_out():
    """conv1, conv2 and shortcut of stride 1; filter behind the ReLU of conv2, before shortcut."""
    torch.manual_seed(0)
    block = AABottleneckBlock(
        8, 16, bottleneck_channels=4, stride=2, norm="", lowpass=lambda c, s: BlurPool2d(c, 3, s)
    )
    x = torch.randn(1, 8, 10, 10)
    conv = torch.nn.functional.conv2d
    out = conv(x, block.conv1.weight).relu()
    out = conv(out, block.conv2.weight, padding=1).relu()
    out = conv(BlurPool2d(4)(out), block.conv3.weight)
    out = (out + conv(BlurPool2d(8)(x), block.shortcut.weight)).relu()
    torch.testing.assert_close(block(x), out)


@torch.no_grad()
def test_stem_written_out():
    model = build(narrow("blur", NORM=""))
    x = image()
    out = torch.nn.functional.conv2d(x, model.stem.conv1.weight, stride=2, padding=3).relu()
    out = torch.nn.functional.max_pool2d(out, 3, stride=1, padding=1)
    torch.testing.assert_close(model.stem(x), BlurPool2d(16)(out))


@torch.no_grad()
def test_published_stem_pool():
    cfg = narrow("blur")
    cfg.MODEL.ANTIALIAS.STEM_POOL_SIZE = 2
    model = build(cfg)
    x = image()
    out = torch.nn.functional.max_pool2d(model.stem.conv1(x).relu(), 2, stride=1)
    torch.testing.assert_close(model.stem(x), BlurPool2d(16)(out))
    assert model(x)["res5"].shape[-2:] == (2, 3)


@pytest.mark.parametrize("dilated, expected", [(True, [1, 1]), (False, [])])
def test_dilated_stage_is_filtered_at_stride_one(dilated, expected):
    cfg = narrow(RES5_DILATION=2)
    cfg.MODEL.ANTIALIAS.DILATED = dilated
    found = filters(build(cfg))
    assert [f.stride for n, f in found.items() if n.startswith("res5")] == expected
    assert len(found) == 5 + len(expected)


@pytest.mark.parametrize("freeze_at", range(6))
@pytest.mark.parametrize("freeze_filters", [False, True])
def test_freezing_spares_the_filters(freeze_at, freeze_filters):
    cfg = narrow(NORM="BN")
    cfg.MODEL.BACKBONE.FREEZE_AT = freeze_at
    cfg.MODEL.ANTIALIAS.FREEZE = freeze_filters
    model = build_backbone(cfg)
    frozen_stages = ["stem", *STAGES][:freeze_at]
    for name, p in model.named_parameters():
        in_frozen_stage = name.split(".")[0] in frozen_stages
        is_filter = ".aa" in name
        assert p.requires_grad == (not in_frozen_stage or (is_filter and not freeze_filters)), name
    for name, module in model.named_modules():
        if name.endswith("norm") and name.split(".")[0] in frozen_stages:
            spared = ".aa" in name and not freeze_filters
            assert isinstance(module, FrozenBatchNorm2d) != spared, name


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("norm", ["BN", "FrozenBN", "GN"])
def test_every_parameter_has_a_gradient(norm, name):
    cfg = config(name, depth=50, NORM=norm)
    model = build_backbone(cfg).train()
    with torch.no_grad():
        for module in filters(model).values():
            for p in module.parameters():
                p.normal_(std=0.1)
    sum(map_.square().mean() for map_ in model(image()).values()).backward()
    for key, p in model.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, key


def test_frozen_default_still_trains_the_stem_filter():
    cfg = narrow()
    cfg.MODEL.BACKBONE.FREEZE_AT = 2
    model = build_backbone(cfg).train()
    model(image())["res5"].square().mean().backward()
    assert model.stem.aa.predictor.norm.weight.grad.abs().sum() > 0
    assert model.stem.conv1.weight.grad is None


def test_sync_bn():
    model = build_backbone(narrow(NORM="SyncBN"))
    assert isinstance(model.stem.conv1.norm, torch.nn.SyncBatchNorm)
    assert isinstance(model.stem.aa.predictor.norm, torch.nn.BatchNorm2d)


@torch.no_grad()
@pytest.mark.parametrize("meta", ["C4", "DC5", "RetinaNet"])
def test_detectors(meta):
    """The backbone in Detectron2's other detectors, from an image to instances."""
    builder = PAIRS[2][0] if meta == "RetinaNet" else PAIRS[0][0]
    cfg = config("adaptive", builder, depth=50)
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    if meta == "RetinaNet":
        cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
        cfg.MODEL.RETINANET.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
        cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[2**i] for i in range(5, 10)]
    elif meta == "DC5":
        cfg.MODEL.RESNETS.OUT_FEATURES = ["res5"]
        cfg.MODEL.RESNETS.RES5_DILATION = 2
        cfg.MODEL.RPN.IN_FEATURES = cfg.MODEL.ROI_HEADS.IN_FEATURES = ["res5"]
        cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
        cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
        cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 1
    else:
        cfg.MODEL.RESNETS.OUT_FEATURES = ["res4"]
    outputs = build_model(cfg).eval()([{"image": image(70, 90)[0], "height": 70, "width": 90}])
    assert outputs[0]["instances"].image_size == (70, 90)


@torch.no_grad()
def test_c4_with_all_places():
    """Detectron2's C4 model, and the same with our backbone and heads."""
    models = []
    for name, builder, heads in (
        ("none", PAIRS[0][1], "Res5ROIHeads"),
        ("none", PAIRS[0][0], "AARes5ROIHeads"),
        ("adaptive", PAIRS[0][0], "AARes5ROIHeads"),
    ):
        cfg = narrow(name)
        cfg.MODEL.BACKBONE.NAME = builder
        cfg.MODEL.RESNETS.OUT_FEATURES = ["res4"]
        cfg.MODEL.ROI_HEADS.NAME = heads
        torch.manual_seed(0)
        models.append(build_model(cfg).eval())
    theirs, plain, adaptive = models
    assert theirs.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(2, 256, 14, 14)
    expected = theirs.roi_heads.res5(x)
    assert torch.equal(plain.roi_heads.res5(x), expected)
    assert adaptive.roi_heads.res5(x).shape == expected.shape
    assert len(filters(adaptive)) == 7


@pytest.mark.skipif(compat.has_compiled_ops(), reason="this Detectron2 has deformable convolution")
def test_deformable_without_compiled_ops():
    message = "MODEL.RESNETS.DEFORM_ON_PER_STAGE.*built from source"
    with pytest.raises(InvalidOption, match=message):
        build_backbone(narrow(DEFORM_ON_PER_STAGE=[False, True, True, True]))


class TorchvisionDeformConv(torch.nn.Module):
    """Stands in for both of Detectron2's deformable convs where it has no compiled operators."""

    def __init__(self, in_channels, out_channels, kernel_size, stride, padding, bias, groups,
                 dilation, deformable_groups, norm):  # fmt: skip
        super().__init__()
        shape = (out_channels, in_channels // groups, kernel_size, kernel_size)
        self.in_channels = in_channels
        self.weight, self.bias = torch.nn.Parameter(torch.empty(shape)), None
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.norm = norm

    def forward(self, x, offset, mask=None):
        geometry = (self.stride, self.padding, self.dilation)
        return self.norm(deform_conv2d(x, offset, self.weight, None, *geometry, mask))


@torch.no_grad()
@pytest.mark.parametrize("modulated", [False, True])
def test_deformable(modulated, monkeypatch):
    if not compat.has_compiled_ops():
        monkeypatch.setattr(compat, "has_compiled_ops", lambda: True)
        for name in ("DeformConv", "ModulatedDeformConv"):
            monkeypatch.setattr(resnet, name, TorchvisionDeformConv)
    deform = {"DEFORM_ON_PER_STAGE": [False, True, True, True], "DEFORM_MODULATED": modulated}
    ours, theirs = (build(config("none", builder, **deform)) for builder in PAIRS[0])
    x = image()
    expected = theirs(x)
    assert all(torch.equal(map_, expected[key]) for key, map_ in ours(x).items())
    adaptive = build(config("adaptive", **deform))
    for key, map_ in adaptive(x).items():
        assert map_.shape == expected[key].shape, key
    assert len(filters(adaptive)) == 7


@pytest.mark.parametrize(
    "cfg, message",
    [
        (config(depth=77), "MODEL.RESNETS.DEPTH is 77.*18, 34, 50, 101, 152"),
        (config(RES5_DILATION=4), "MODEL.RESNETS.RES5_DILATION is 4.*1, 2"),
        (config(depth=18, NUM_GROUPS=32), "MODEL.RESNETS.NUM_GROUPS is 32.*must be 1"),
        (
            config(depth=18, RES2_OUT_CHANNELS=256),
            "MODEL.RESNETS.RES2_OUT_CHANNELS is 256.* 64 for",
        ),
        (config("sinc"), "MODEL.ANTIALIAS.NAME is 'sinc'"),
        (narrow(WIDTH_PER_GROUP=6), "MODEL.ANTIALIAS.GROUPS is 8.*divisor of the 12 channels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_when_built(cfg, message):
    with pytest.raises(InvalidOption, match=message):
        build_backbone(cfg)


@pytest.mark.parametrize("depth", [18, 50])
def test_a_seed_pairs_the_kinds(depth):
    """All that they share starts with the same weights."""
    nets = []
    for name in NAMES:
        torch.manual_seed(0)
        nets.append(build_backbone(config(name, PAIRS[1][0], depth)).state_dict())
    for net in nets[1:]:
        assert all(torch.equal(net[key], value) for key, value in nets[0].items())
