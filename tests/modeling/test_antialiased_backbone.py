"""Filters in the backbones of any registered builder."""

import logging

import pytest
import torch
from detectron2.modeling import BACKBONE_REGISTRY, build_backbone
from detectron2.modeling.backbone import MViT, SimpleFeaturePyramid, SwinTransformer, ViT
from modeling.test_resnet import config

from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d
from aa_detectron.modeling.backbones import _build_fitting


def antialiased(name, filter="adaptive", **options):
    cfg = config(filter, depth=18)
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = cfg.MODEL.RESNETS.OUT_FEATURES
    cfg.MODEL.BACKBONE.NAME = "build_antialiased_backbone"
    cfg.MODEL.ANTIALIAS.BACKBONE = name
    cfg.MODEL.ANTIALIAS.update(options)
    return cfg


@pytest.fixture
def register():
    names = []

    def add(build):
        BACKBONE_REGISTRY.register(build)
        names.append(build.__name__)
        return build.__name__

    yield add
    for name in names:
        del BACKBONE_REGISTRY._obj_map[name]


@torch.no_grad()
@pytest.mark.parametrize("filter", ["none", "blur", "adaptive"])
@pytest.mark.parametrize("plain, ours", [
    ("build_resnet_fpn_backbone", "build_aa_resnet_fpn_backbone"),
    ("build_retinanet_resnet_fpn_backbone", "build_aa_resnet_retinanet_fpn_backbone"),
])  # fmt: skip
def test_resnet_equals_the_builder_for_resnets(filter, plain, ours):
    cfg = antialiased(plain, filter)
    network = build_backbone(cfg).eval()
    cfg.MODEL.BACKBONE.NAME = ours
    expected = build_backbone(cfg).eval()
    expected.load_state_dict(network.state_dict())
    image = torch.randn(1, 3, 64, 64)
    found, wanted = network(image), expected(image)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def small_swin(cfg, input_shape):
    return SwinTransformer(embed_dim=12, depths=(1, 1), num_heads=(1, 2), out_indices=(0, 1))


def small_mvit(cfg, input_shape):
    return MViT(
        img_size=64,
        embed_dim=8,
        depth=4,
        last_block_indexes=(0, 1, 2, 3),
        adaptive_window_size=16,
        residual_pooling=False,
        pretrain_img_size=64,
    )


def small_vitdet(cfg, input_shape):
    vit = ViT(img_size=64, embed_dim=16, depth=1, num_heads=2, out_feature="last")
    return SimpleFeaturePyramid(vit, "last", 8, [4.0, 2.0, 1.0, 0.5])


@pytest.mark.parametrize(
    "build, options, filters",
    [
        (small_swin, {"PATCH_EMBED": True}, ["patch_embed.proj.aa_input"]),
        (small_mvit, {}, None),
        (small_vitdet, {"PATCH_EMBED": True}, ["net.patch_embed.proj.aa_input"]),
    ],
)
def test_transformers(build, options, filters, register):
    cfg = antialiased(register(build), **options)
    network, plain = build_backbone(cfg), build(cfg, None)
    found = [n for n, m in network.named_modules() if isinstance(m, AdaptiveBlurPool2d)]
    assert found == filters if filters else len(found) >= 4
    assert {k for k in network.state_dict() if ".aa" not in k} == set(plain.state_dict())
    outputs, expected = (n(torch.randn(1, 3, 64, 64)) for n in (network, plain))
    assert {k: v.shape for k, v in outputs.items()} == {k: v.shape for k, v in expected.items()}
    sum(output.sum() for output in outputs.values()).backward()
    assert all(p.grad is not None for name, p in network.named_parameters() if ".aa" in name)


def test_groups_fit_the_channels(register):
    """An image has 3 channels, which 8 groups do not divide."""
    network = build_backbone(antialiased(register(small_swin), PATCH_EMBED=True))
    assert network.patch_embed.proj.aa_input.groups == 3
    assert _build_fitting(antialiased(""), 12, 2).groups == 6


def test_options_of_the_filters_are_used():
    cfg = antialiased("build_resnet_fpn_backbone", "blur", KERNEL_SIZE=5, PADDING_MODE="zeros")
    filters = [m for m in build_backbone(cfg).modules() if isinstance(m, BlurPool2d)]
    assert len(filters) == 7
    assert {(f.kernel.shape[-1], f.padding_mode) for f in filters} == {(5, "zeros")}


def test_the_log_says_what_was_done(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("aa_detectron"), "propagate", True)
    with caplog.at_level(logging.INFO, "aa_detectron"):
        build_backbone(antialiased("build_resnet_backbone"))
    assert "7 filters with" in caplog.text


@pytest.mark.parametrize("name", ["", "build_nothing", "build_antialiased_backbone"])
def test_builder_must_be_named(name):
    with pytest.raises(InvalidOption, match=f"^MODEL.ANTIALIAS.BACKBONE is {name!r}, but must be"):
        build_backbone(antialiased(name))


@pytest.mark.parametrize("option", [{"STEM_POOL_SIZE": 2}, {"FREEZE": True}], ids=str)
def test_options_without_effect(option):
    ((key, value),) = option.items()
    with pytest.raises(InvalidOption, match=f"MODEL.ANTIALIAS.{key} is {value}, but must be"):
        build_backbone(antialiased("build_resnet_backbone", **option))


def test_network_without_a_place(register):
    cfg = antialiased(register(small_swin))
    with pytest.raises(InputError, match="^MODEL.ANTIALIAS.BACKBONE: small_swin: .* patch_embed"):
        build_backbone(cfg)
    cfg = antialiased("build_aa_resnet_backbone")
    with pytest.raises(InputError, match="build_aa_resnet_backbone: .* already anti-aliased"):
        build_backbone(cfg)
