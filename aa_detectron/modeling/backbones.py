"""Registered builders: the only place where a config meets the anti-aliased ResNet.

The builders read Detectron2's own keys (``MODEL.RESNETS``, ``MODEL.FPN``) and ``MODEL.ANTIALIAS``.
"""

import contextlib
import functools
import logging
from collections.abc import Iterator
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from torch import nn

from aa_detectron.config import check_has_keys
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.layers.build import FilterOptions
from aa_detectron.layers.registry import build_lowpass, lowpass_names, lowpass_per_place

from .build import build_resnet
from .ignored_keys import watch
from .surgery import antialias

logger = logging.getLogger(__name__)


@BACKBONE_REGISTRY.register()
def build_aa_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Builds a ResNet with the filters of ``MODEL.ANTIALIAS``.

    With NAME "none" the network equals the one of ``build_resnet_backbone``. Like Detectron2's
    builder, this one ignores the keys for DeepLab.

    Args:
        cfg: config of a model.
        input_shape: number of channels of the image.

    Raises:
        InvalidOption: a key has an illegal value.
    """
    return _build(cfg, input_shape)


@BACKBONE_REGISTRY.register()
def build_aa_resnet_deeplab_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Builds a ResNet with the filters of ``MODEL.ANTIALIAS`` and with DeepLab's keys.

    These keys of ``MODEL.RESNETS`` are RES4_DILATION (2 for output stride 8), RES5_MULTI_GRID and
    STEM_TYPE. As in Detectron2's DeepLab project, no other builder reads them. With NAME "none"
    the network equals the one of ``build_resnet_deeplab_backbone``.

    Args:
        cfg: config of a model.
        input_shape: number of channels of the image.

    Raises:
        InvalidOption: a key has an illegal value.
    """
    check_has_keys(cfg)
    resnets = cfg.MODEL.RESNETS
    return _build(
        cfg,
        input_shape,
        stem_type=resnets.STEM_TYPE,
        res4_dilation=resnets.RES4_DILATION,
        res5_multi_grid=resnets.RES5_MULTI_GRID,
        stem_last=True,
    )


@BACKBONE_REGISTRY.register()
def build_aa_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds an FPN on :func:`build_aa_resnet_backbone`; p6 is p5 subsampled, as in Detectron2."""
    return _build_fpn(cfg, build_aa_resnet_backbone(cfg, input_shape), LastLevelMaxPool())


@BACKBONE_REGISTRY.register()
def build_aa_resnet_retinanet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds the FPN of RetinaNet and FCOS on :func:`build_aa_resnet_backbone`.

    Convs make p6 from res5, and p7 from p6.
    """
    resnet = build_aa_resnet_backbone(cfg, input_shape)
    channels = resnet.output_shape()["res5"].channels
    return _build_fpn(cfg, resnet, LastLevelP6P7(channels, cfg.MODEL.FPN.OUT_CHANNELS))


@BACKBONE_REGISTRY.register()
def build_antialiased_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds any registered backbone, and puts the filters of ``MODEL.ANTIALIAS`` into it.

    In a feature pyramid, the filters are in the network below it, as in
    :func:`build_aa_resnet_fpn_backbone`. Dilated stages have no filter.

    Args:
        cfg: config of a model; ``MODEL.ANTIALIAS.BACKBONE`` names the builder of the backbone.
        input_shape: number of channels of the image.

    Raises:
        InputError: the backbone has no layer that can be filtered, or already has filters.
        InvalidOption: a key has an illegal value.
    """
    check_has_keys(cfg)
    antialiasing = cfg.MODEL.ANTIALIAS
    if len(set(lowpass_names(cfg))) > 1:
        legal = "one name for build_antialiased_backbone"
        raise InvalidOption("MODEL.ANTIALIAS.NAME", antialiasing.NAME, legal)
    for key, default in (("STEM_POOL_SIZE", 3), ("FREEZE", False)):
        if antialiasing[key] != default:
            legal = f"{default} for build_antialiased_backbone"
            raise InvalidOption(f"MODEL.ANTIALIAS.{key}", antialiasing[key], legal)
    name = antialiasing.BACKBONE
    if name not in BACKBONE_REGISTRY or name == build_antialiased_backbone.__name__:
        legal = "the name of a registered builder, whose backbone gets the filters"
        raise InvalidOption("MODEL.ANTIALIAS.BACKBONE", name, legal)
    backbone = BACKBONE_REGISTRY.get(name)(cfg, input_shape)
    # FPN and SimpleFeaturePyramid have these names for the network below them.
    network = getattr(backbone, "bottom_up", None) or getattr(backbone, "net", backbone)
    watch(network, cfg)
    if lowpass_names(cfg)[0] != "none":
        lowpass = functools.partial(_build_fitting, cfg)
        try:
            report = antialias(network, lowpass, patch_embed=antialiasing.PATCH_EMBED)
        except InputError as error:
            raise InputError(f"MODEL.ANTIALIAS.BACKBONE: {name}: {error}") from None
        logger.info("%s with filters (%s):\n%s", name, antialiasing.NAME, report)
    return backbone


def _build_fitting(cfg: CfgNode, channels: int, stride: int) -> nn.Module:
    """Builds a filter with the largest number of groups up to GROUPS that divides ``channels``."""
    options = FilterOptions.from_config(cfg).fitting(channels)
    fitting = cfg.clone()
    fitting.defrost()
    fitting.MODEL.ANTIALIAS.GROUPS = options.groups
    fitting.MODEL.ANTIALIAS.PREDICTOR_GROUPS = options.predictor_groups
    return build_lowpass(fitting, channels, stride, name=lowpass_names(cfg)[0])


def stage_arguments(cfg: CfgNode) -> dict[str, Any]:
    """Reads what :func:`~.build.build_resnet` and :func:`~.build.make_stage` both need."""
    resnets, antialias = cfg.MODEL.RESNETS, cfg.MODEL.ANTIALIAS
    return {
        "depth": resnets.DEPTH,
        "filter_dilated": antialias.DILATED,
        "freeze_lowpass": antialias.FREEZE,
        "stem_out_channels": resnets.STEM_OUT_CHANNELS,
        "res2_out_channels": resnets.RES2_OUT_CHANNELS,
        "norm": resnets.NORM,
        "num_groups": resnets.NUM_GROUPS,
        "width_per_group": resnets.WIDTH_PER_GROUP,
        "stride_in_1x1": resnets.STRIDE_IN_1X1,
        "deform_modulated": resnets.DEFORM_MODULATED,
        "deform_num_groups": resnets.DEFORM_NUM_GROUPS,
    }


def _build(cfg: CfgNode, input_shape: ShapeSpec, **deeplab: Any) -> ResNet:
    check_has_keys(cfg)
    resnets, features = cfg.MODEL.RESNETS, list(cfg.MODEL.RESNETS.OUT_FEATURES)
    with _naming_keys():
        backbone = build_resnet(
            in_channels=input_shape.channels,
            lowpass=lowpass_per_place(cfg),
            stem_pool_size=cfg.MODEL.ANTIALIAS.STEM_POOL_SIZE,
            res5_dilation=resnets.RES5_DILATION,
            deform_on_per_stage=resnets.DEFORM_ON_PER_STAGE,
            # Detectron2 leaves out every stage that is not named, except where this is None.
            out_features=None if features == ["linear"] else features,
            num_classes=cfg.MODEL.CLASSIFIER.NUM_CLASSES if "linear" in features else None,
            freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
            **stage_arguments(cfg),
            **deeplab,
        )
    watch(backbone, cfg)
    return backbone


@contextlib.contextmanager
def _naming_keys() -> Iterator[None]:
    """Names the config key in place of an illegal argument of :func:`~.build.build_resnet`."""
    try:
        yield
    except InvalidOption as error:
        if error.option.startswith("MODEL."):  # a filter has named its key
            raise
        nodes = {"stem_pool_size": "ANTIALIAS", "freeze_at": "BACKBONE"}
        key = f"MODEL.{nodes.get(error.option, 'RESNETS')}.{error.option.upper()}"
        raise InvalidOption(key, error.found, error.legal) from None


def _build_fpn(cfg: CfgNode, bottom_up: ResNet, top_block: nn.Module) -> FPN:
    return FPN(
        bottom_up=bottom_up,
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=top_block,
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
