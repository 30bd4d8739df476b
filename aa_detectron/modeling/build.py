"""Whole ResNets from plain arguments: the one place that knows where the filters are.

A ResNet of any depth has seven of them: one in the stem, and two in the first block of res3, res4
and res5, one in the residual path and one before the shortcut.
"""

import functools
from collections.abc import Sequence
from typing import Any

from aa_detectron import compat
from aa_detectron.errors import InvalidOption, check_choice, check_from_1
from aa_detectron.layers.build import Lowpass
from aa_detectron.layers.norm import Norm
from aa_detectron.layers.per_place import PLACES

from .bases import CNNBlockBase, ResNet
from .resnet import (
    AABasicBlock,
    AABasicStem,
    AABottleneckBlock,
    AADeepLabStem,
    AADeformBottleneckBlock,
)

NUM_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""{depth: number of blocks in res2 to res5}; bottleneck blocks from depth 50 on."""
FEATURES = ("stem", "res2", "res3", "res4", "res5", "linear")
"""Names of the outputs of a ResNet."""
STEMS = {"basic": AABasicStem, "deeplab": AADeepLabStem}


def build_resnet(
    depth: int,
    *,
    lowpass: Lowpass | Sequence[Lowpass | None] | None = None,
    filter_dilated: bool = True,
    freeze_lowpass: bool = False,
    in_channels: int = 3,
    stem_type: str = "basic",
    stem_pool_size: int = 3,
    stem_out_channels: int = 64,
    res2_out_channels: int | None = None,
    norm: Norm = "BN",
    num_groups: int = 1,
    width_per_group: int = 64,
    stride_in_1x1: bool = False,
    res4_dilation: int = 1,
    res5_dilation: int = 1,
    res5_multi_grid: Sequence[int] | None = None,
    deform_on_per_stage: Sequence[bool] = (False, False, False, False),
    deform_modulated: bool = False,
    deform_num_groups: int = 1,
    out_features: Sequence[str] | None = None,
    num_classes: int | None = None,
    freeze_at: int = 0,
    stem_last: bool = False,
    network: type[ResNet] = ResNet,
) -> ResNet:
    """Builds a ResNet, ResNeXt or dilated ResNet with filters in place of its strides.

    Sources: He et al., CVPR 2016 (ResNet); Xie et al., CVPR 2017 (ResNeXt); Zhang, ICML 2019, and
    Zou et al., BMVC 2020 (filters).

    Args:
        depth: number of layers: 18, 34, 50, 101 or 152.
        lowpass: function that builds a filter; None for no filters. Four of these are for stem,
            res3, res4 and res5.
        filter_dilated: whether dilated stages, which keep their resolution, have filters of
            stride 1.
        freeze_lowpass: whether ``freeze_at`` freezes filters as well.
        in_channels: number of channels of the image.
        stem_type: "basic" for a 7x7 conv, "deeplab" for three 3x3 convs.
        stem_pool_size: side of the max pooling before the stem's filter, 3 or 2 pixels.
        stem_out_channels: number of channels of the stem's output.
        res2_out_channels: number of channels of res2's output; each later stage has twice the
            channels of the stage before it. None for 256, or for ``stem_out_channels`` at depths
            18 and 34, where no other number is legal.
        norm: norm after every conv.
        num_groups: number of groups of the 3x3 convs, above 1 for ResNeXt; 1 at depths 18 and 34.
        width_per_group: number of channels in a group of res2's 3x3 convs; without effect at
            depths 18 and 34.
        stride_in_1x1: whether a bottleneck block without filters has its stride in the first 1x1
            conv (weights of MSRA) instead of the 3x3 conv (weights of torchvision).
        res4_dilation: dilation of res4, 1 or 2; 2 for output stride 8.
        res5_dilation: dilation of res5, 1 or 2; 4 where ``res4_dilation`` is 2.
        res5_multi_grid: factors by which the dilation is multiplied, one for each block of res5;
            None for 1.
        deform_on_per_stage: whether the 3x3 convs of res2, res3, res4 and res5 are deformable.
        deform_modulated: whether deformable convs are modulated (DCNv2).
        deform_num_groups: number of groups of the deformable convs.
        out_features: names of the outputs: "stem", "res2" to "res5", "linear". Stages after the
            last one named are left out. None for the last output.
        num_classes: number of classes of the classifier "linear"; None for no classifier.
        freeze_at: number of frozen stages, 0 to 5; the stem is the first.
        stem_last: whether the random weights of the stem are drawn after those of the stages, as
            in Detectron2's DeepLab project.
        network: class of the result.

    Returns:
        Network that maps (N, in_channels, H, W) to {name: output}, unless ``network`` returns
        something else.

    Raises:
        InvalidOption: an argument, or an option of a filter, is illegal.
    """
    check_choice("depth", depth, tuple(NUM_BLOCKS))
    check_choice("stem_type", stem_type, tuple(STEMS))
    check_choice("stem_pool_size", stem_pool_size, (2, 3))
    check_choice("freeze_at", freeze_at, range(6))
    _check_numbers(
        in_channels=in_channels,
        stem_out_channels=stem_out_channels,
        res2_out_channels=res2_out_channels,
        num_groups=num_groups,
        width_per_group=width_per_group,
        deform_num_groups=deform_num_groups,
        num_classes=num_classes,
    )
    _check_features(out_features, num_classes)
    _check_dilations(depth, res4_dilation, res5_dilation, res5_multi_grid)
    if depth < 50:
        deform = list(deform_on_per_stage)
        _check_basic_blocks(depth, stem_out_channels, res2_out_channels, num_groups, deform)
    _check_deformable(deform_on_per_stage)
    stem_lowpass, *lowpasses = _per_place(lowpass)
    make_stem = functools.partial(
        STEMS[stem_type],
        in_channels,
        stem_out_channels,
        norm,
        lowpass=stem_lowpass,
        pool_size=stem_pool_size,
        freeze_lowpass=freeze_lowpass,
    )
    stem = None if stem_last else make_stem()
    dilations = (1, 1, res4_dilation, res5_dilation)
    stages = [
        make_stage(
            number,
            depth,
            dilation=dilation,
            multi_grid=res5_multi_grid if number == 5 else None,
            deform=deform,
            lowpass=stage_lowpass,
            filter_dilated=filter_dilated,
            freeze_lowpass=freeze_lowpass,
            stem_out_channels=stem_out_channels,
            res2_out_channels=res2_out_channels,
            norm=norm,
            num_groups=num_groups,
            width_per_group=width_per_group,
            stride_in_1x1=stride_in_1x1,
            deform_modulated=deform_modulated,
            deform_num_groups=deform_num_groups,
        )
        for number, dilation, deform, stage_lowpass in zip(
            range(2, 6), dilations, deform_on_per_stage, (None, *lowpasses), strict=True
        )
    ]
    stem = make_stem() if stem is None else stem
    return network(stem, stages, num_classes, out_features, freeze_at)


def make_stage(
    number: int,
    depth: int,
    *,
    dilation: int = 1,
    multi_grid: Sequence[int] | None = None,
    deform: bool = False,
    lowpass: Lowpass | None = None,
    filter_dilated: bool = True,
    freeze_lowpass: bool = False,
    stem_out_channels: int = 64,
    res2_out_channels: int | None = None,
    norm: Norm = "BN",
    num_groups: int = 1,
    width_per_group: int = 64,
    stride_in_1x1: bool = False,
    deform_modulated: bool = False,
    deform_num_groups: int = 1,
) -> list[CNNBlockBase]:
    """Builds the blocks of stage res2, res3, res4 or res5.

    The arguments that are not listed here are described at :func:`build_resnet`; the filters of a
    stage are all built by one function, ``lowpass``.

    Args:
        number: stage number, 2 to 5.
        depth: number of layers of the whole network: 18, 34, 50, 101 or 152.
        dilation: dilation of the 3x3 convs; a dilation above 1 replaces the stage's stride.
        multi_grid: factors by which the dilation is multiplied, one for each block; None for 1.
        deform: whether the 3x3 convs are deformable.

    Returns:
        Blocks, in the order of the forward pass.
    """
    index, num_blocks = number - 2, NUM_BLOCKS[depth][number - 2]
    if res2_out_channels is None:
        res2_out_channels = stem_out_channels if depth < 50 else 256
    stride = 1 if number == 2 or dilation > 1 else 2
    is_filtered = stride > 1 or (dilation > 1 and filter_dilated)
    out_channels = res2_out_channels << index
    kwargs: dict[str, Any] = {
        "in_channels": stem_out_channels if number == 2 else out_channels // 2,
        "out_channels": out_channels,
        "norm": norm,
        "stride_per_block": [stride] + [1] * (num_blocks - 1),
        "dilation_per_block": [dilation * factor for factor in multi_grid or [1] * num_blocks],
        "lowpass_per_block": [lowpass if is_filtered else None] + [None] * (num_blocks - 1),
        "freeze_lowpass": freeze_lowpass,
    }
    if depth < 50:
        return ResNet.make_stage(AABasicBlock, num_blocks, **kwargs)
    kwargs["bottleneck_channels"] = num_groups * width_per_group << index
    kwargs |= {"num_groups": num_groups, "stride_in_1x1": stride_in_1x1}
    if not deform:
        return ResNet.make_stage(AABottleneckBlock, num_blocks, **kwargs)
    kwargs |= {"deform_modulated": deform_modulated, "deform_num_groups": deform_num_groups}
    return ResNet.make_stage(AADeformBottleneckBlock, num_blocks, **kwargs)


def _per_place(lowpass: Lowpass | Sequence[Lowpass | None] | None) -> list[Lowpass | None]:
    """Returns the functions that build the filters of stem, res3, res4 and res5."""
    if lowpass is None or callable(lowpass):
        return [lowpass] * len(PLACES)
    if len(lowpass) != len(PLACES):
        legal = f"one function, or four for {', '.join(PLACES)}"
        raise InvalidOption("lowpass", lowpass, legal)
    return list(lowpass)


def _check_numbers(**options: int | None) -> None:
    for option, found in options.items():
        if found is not None:
            check_from_1(option, found)


def _check_features(out_features: Sequence[str] | None, num_classes: int | None) -> None:
    if out_features is None:
        return
    legal = FEATURES if num_classes is not None else FEATURES[:-1]
    if not out_features or not all(name in legal for name in out_features):
        raise InvalidOption("out_features", out_features, f"one or more of {', '.join(legal)}")


def _check_dilations(depth: int, res4: int, res5: int, multi_grid: Sequence[int] | None) -> None:
    check_choice("res4_dilation", res4, (1, 2))
    check_choice("res5_dilation", res5, {1: (1, 2), 2: (4,)}[res4])
    blocks = NUM_BLOCKS[depth][3]
    if multi_grid is not None and len(multi_grid) != blocks:
        raise InvalidOption("res5_multi_grid", multi_grid, f"a list of {blocks} factors")


def _check_basic_blocks(
    depth: int,
    stem_out_channels: int,
    res2_out_channels: int | None,
    num_groups: int,
    deform_on_per_stage: list[bool],
) -> None:
    """Rejects options that the blocks of depths 18 and 34 do not have."""
    for option, found, legal in (
        ("res2_out_channels", res2_out_channels, stem_out_channels),
        ("num_groups", num_groups, 1),
        ("deform_on_per_stage", deform_on_per_stage, [False] * 4),
    ):
        if found not in (None, legal):
            raise InvalidOption(option, found, f"{legal} for depth {depth}")


def _check_deformable(deform_on_per_stage: Sequence[bool]) -> None:
    if any(deform_on_per_stage) and not compat.has_compiled_ops():
        raise InvalidOption(
            "deform_on_per_stage",
            list(deform_on_per_stage),
            "all False: deformable convolution needs a Detectron2 built from source, with compiled "
            "operators (detectron2._C)",
        )
