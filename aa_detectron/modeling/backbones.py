"""Registered builders: the only place where a config meets the anti-aliased ResNet.

They read Detectron2's own keys (``MODEL.RESNETS``, ``MODEL.FPN``) and ``MODEL.ANTIALIAS``.
"""

import functools

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7

from aa_detectron import compat
from aa_detectron.errors import InvalidOption, check_choice
from aa_detectron.layers.build import build_lowpass, check_lowpass_name

from .resnet import (
    AABasicBlock,
    AABasicStem,
    AABottleneckBlock,
    AADeepLabStem,
    AADeformBottleneckBlock,
    AAStem,
    CNNBlockBase,
    Lowpass,
)

NUM_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
STEMS = {"basic": AABasicStem, "deeplab": AADeepLabStem}


@BACKBONE_REGISTRY.register()
def build_aa_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """ResNet with ``MODEL.ANTIALIAS``; with NAME "none" equal to ``build_resnet_backbone``'s.

    Like that one it leaves DeepLab's keys alone.

    Raises:
        InvalidOption: naming the key, the value found and the legal values.
    """
    check_resnet_config(cfg)
    check_choice("MODEL.RESNETS.RES5_DILATION", cfg.MODEL.RESNETS.RES5_DILATION, (1, 2))
    # Before the stages, as in Detectron2, so that the same seed gives the same weights.
    stem = _build_stem(cfg, input_shape, AABasicStem)
    stages = [make_stage(cfg, number) for number in (2, 3, 4)]
    stages.append(make_stage(cfg, 5, cfg.MODEL.RESNETS.RES5_DILATION))
    return _build_resnet(cfg, stem, stages)


@BACKBONE_REGISTRY.register()
def build_aa_resnet_deeplab_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """:func:`build_aa_resnet_backbone` with DeepLab's keys of ``MODEL.RESNETS``.

    RES4_DILATION (2 for output stride 8), RES5_MULTI_GRID and STEM_TYPE are read here alone, as in
    Detectron2's DeepLab project: with NAME "none" it equals ``build_resnet_deeplab_backbone``'s.

    Raises:
        InvalidOption: naming the key, the value found and the legal values.
    """
    check_resnet_config(cfg)
    resnets = cfg.MODEL.RESNETS
    check_choice("MODEL.RESNETS.STEM_TYPE", resnets.STEM_TYPE, tuple(STEMS))
    check_choice("MODEL.RESNETS.RES4_DILATION", resnets.RES4_DILATION, (1, 2))
    legal = {1: (1, 2), 2: (4,)}[resnets.RES4_DILATION]
    check_choice("MODEL.RESNETS.RES5_DILATION", resnets.RES5_DILATION, legal)
    grid, blocks = resnets.RES5_MULTI_GRID, NUM_BLOCKS[resnets.DEPTH][3]
    if len(grid) != blocks:
        raise InvalidOption("MODEL.RESNETS.RES5_MULTI_GRID", grid, f"a list of {blocks} factors")
    stages = [
        make_stage(cfg, 2),
        make_stage(cfg, 3),
        make_stage(cfg, 4, resnets.RES4_DILATION),
        make_stage(cfg, 5, resnets.RES5_DILATION, grid),
    ]
    return _build_resnet(cfg, _build_stem(cfg, input_shape, STEMS[resnets.STEM_TYPE]), stages)


@BACKBONE_REGISTRY.register()
def build_aa_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """FPN on :func:`build_aa_resnet_backbone`; p6 is p5 subsampled, as in Detectron2."""
    return _build_fpn(cfg, build_aa_resnet_backbone(cfg, input_shape), LastLevelMaxPool())


@BACKBONE_REGISTRY.register()
def build_aa_resnet_retinanet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """FPN of RetinaNet and FCOS, p6 and p7 from res5, on :func:`build_aa_resnet_backbone`."""
    resnet = build_aa_resnet_backbone(cfg, input_shape)
    channels = resnet.output_shape()["res5"].channels
    return _build_fpn(cfg, resnet, LastLevelP6P7(channels, cfg.MODEL.FPN.OUT_CHANNELS))


def make_stage(
    cfg: CfgNode, number: int, dilation: int = 1, multi_grid: list[int] | None = None
) -> list[CNNBlockBase]:
    """The blocks of stage res2, res3, res4 or res5 as ``MODEL.RESNETS`` describes them.

    Args:
        cfg, number: of the stage.
        dilation: of its 3x3 convs; above 1 it takes the place of the stage's stride.
        multi_grid: a further factor of the dilation for each block; None for 1.
    """
    resnets = cfg.MODEL.RESNETS
    index = number - 2
    num_blocks = NUM_BLOCKS[resnets.DEPTH][index]
    stride = 1 if number == 2 or dilation > 1 else 2
    filtered = stride > 1 or (dilation > 1 and cfg.MODEL.ANTIALIAS.DILATED)
    out_channels = resnets.RES2_OUT_CHANNELS << index
    kwargs = {
        "stride_per_block": [stride] + [1] * (num_blocks - 1),
        "in_channels": resnets.STEM_OUT_CHANNELS if number == 2 else out_channels // 2,
        "out_channels": out_channels,
        "norm": resnets.NORM,
        "lowpass_per_block": [_lowpass(cfg) if filtered else None] + [None] * (num_blocks - 1),
        "freeze_lowpass": cfg.MODEL.ANTIALIAS.FREEZE,
        "dilation_per_block": [dilation * factor for factor in multi_grid or [1] * num_blocks],
    }
    if resnets.DEPTH < 50:
        return ResNet.make_stage(AABasicBlock, num_blocks, **kwargs)
    kwargs |= {
        "bottleneck_channels": resnets.NUM_GROUPS * resnets.WIDTH_PER_GROUP << index,
        "stride_in_1x1": resnets.STRIDE_IN_1X1,
        "num_groups": resnets.NUM_GROUPS,
    }
    if not resnets.DEFORM_ON_PER_STAGE[index]:
        return ResNet.make_stage(AABottleneckBlock, num_blocks, **kwargs)
    return ResNet.make_stage(
        AADeformBottleneckBlock,
        num_blocks,
        deform_modulated=resnets.DEFORM_MODULATED,
        deform_num_groups=resnets.DEFORM_NUM_GROUPS,
        **kwargs,
    )


def check_resnet_config(cfg: CfgNode) -> None:
    """Refuses what could only fail, or mislead, later on.

    Raises:
        InvalidOption: naming the key, the value found and the legal values.
    """
    resnets = cfg.MODEL.RESNETS
    check_lowpass_name(cfg)
    check_choice("MODEL.ANTIALIAS.STEM_POOL_SIZE", cfg.MODEL.ANTIALIAS.STEM_POOL_SIZE, (2, 3))
    check_choice("MODEL.RESNETS.DEPTH", resnets.DEPTH, tuple(NUM_BLOCKS))
    check_choice("MODEL.BACKBONE.FREEZE_AT", cfg.MODEL.BACKBONE.FREEZE_AT, range(6))
    if resnets.DEPTH < 50:
        for key, legal in (
            ("RES2_OUT_CHANNELS", resnets.STEM_OUT_CHANNELS),
            ("NUM_GROUPS", 1),
            ("DEFORM_ON_PER_STAGE", [False] * 4),
        ):
            if resnets[key] != legal:
                where = f"{legal} for MODEL.RESNETS.DEPTH {resnets.DEPTH}"
                raise InvalidOption(f"MODEL.RESNETS.{key}", resnets[key], where)
    if any(resnets.DEFORM_ON_PER_STAGE) and not compat.has_compiled_ops():
        raise InvalidOption(
            "MODEL.RESNETS.DEFORM_ON_PER_STAGE",
            resnets.DEFORM_ON_PER_STAGE,
            "all False: the installed Detectron2 has no compiled operators (detectron2._C), "
            "deformable convolution needs one built from source",
        )


def _lowpass(cfg: CfgNode) -> Lowpass | None:
    return None if cfg.MODEL.ANTIALIAS.NAME == "none" else functools.partial(build_lowpass, cfg)


def _build_stem(cfg: CfgNode, input_shape: ShapeSpec, stem: type[AAStem]) -> AAStem:
    return stem(
        input_shape.channels,
        cfg.MODEL.RESNETS.STEM_OUT_CHANNELS,
        cfg.MODEL.RESNETS.NORM,
        lowpass=_lowpass(cfg),
        pool_size=cfg.MODEL.ANTIALIAS.STEM_POOL_SIZE,
        freeze_lowpass=cfg.MODEL.ANTIALIAS.FREEZE,
    )


def _build_resnet(cfg: CfgNode, stem: AAStem, stages: list[list[CNNBlockBase]]) -> ResNet:
    features = list(cfg.MODEL.RESNETS.OUT_FEATURES)
    return ResNet(
        stem,
        stages,
        num_classes=cfg.MODEL.CLASSIFIER.NUM_CLASSES if "linear" in features else None,
        # Detectron2 would leave out all stages that are not named, but for None.
        out_features=None if features == ["linear"] else features,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )


def _build_fpn(cfg: CfgNode, bottom_up: ResNet, top_block) -> FPN:
    return FPN(
        bottom_up=bottom_up,
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=top_block,
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
