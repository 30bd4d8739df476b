"""ResNets from plain arguments: what weights are held against, and what models.py gives away."""

import functools

from detectron2.modeling import ResNet
from torch import Tensor

from aa_detectron.errors import check_choice
from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d
from aa_detectron.modeling.backbones import NUM_BLOCKS, STEMS
from aa_detectron.modeling.resnet import AABasicBlock, AABottleneckBlock, Lowpass

FILTER_NAMES = ("none", "blur", "adaptive")


class AAResNet(ResNet):
    """Detectron2's ResNet, but the last output is returned itself, not in a dict.

    Shape:
        (N, 3, H, W) -> (N, num_classes), or res5's (N, C, H / 32, W / 32) without a classifier.
    """

    def forward(self, x: Tensor) -> Tensor:
        (output,) = super().forward(x).values()
        return output


def make_lowpass(
    filter: str = "none", kernel_size: int = 3, groups: int = 8, **adaptive
) -> Lowpass | None:
    """What makes a network's filters.

    Args:
        filter: "none", "blur" or "adaptive".
        kernel_size: of both kinds of filters.
        groups, adaptive: arguments of :class:`~aa_detectron.layers.AdaptiveBlurPool2d`.

    Returns:
        None for a network without filters.

    Raises:
        InvalidOption: another filter.
    """
    check_choice("filter", filter, FILTER_NAMES)
    if filter == "none":
        return None
    if filter == "blur":
        return functools.partial(_blur, kernel_size)
    return functools.partial(_adaptive, kernel_size, groups, adaptive)


def _blur(kernel_size: int, channels: int, stride: int) -> BlurPool2d:
    return BlurPool2d(channels, kernel_size, stride)


def _adaptive(
    kernel_size: int, groups: int, options: dict, channels: int, stride: int
) -> AdaptiveBlurPool2d:
    return AdaptiveBlurPool2d(channels, kernel_size, stride, groups, **options)


def build_resnet(
    depth: int,
    *,
    lowpass: Lowpass | None = None,
    stem_type: str = "basic",
    stem_pool_size: int = 3,
    norm: str = "BN",
    stem_out_channels: int = 64,
    res2_out_channels: int | None = None,
    num_groups: int = 1,
    width_per_group: int = 64,
    num_classes: int | None = 1000,
) -> AAResNet:
    """A ResNet of any width, with its strides in the 3x3 convs; it starts like torchvision's.

    Args:
        depth: 18, 34, 50, 101 or 152.
        lowpass: of :func:`make_lowpass`; None for no filters.
        stem_pool_size: of the max pooling before the stem's filter, 3 or 2.
        stem_type, norm, stem_out_channels, num_groups, width_per_group: as the keys of
            ``MODEL.RESNETS``; the last two without effect in 18 and 34.
        res2_out_channels: None for 256; for the channels of the stem in 18 and 34, which can
            have no others.
        num_classes: None for no classifier.

    Raises:
        InvalidOption: another depth or stem, or an argument that a filter refuses.
    """
    check_choice("depth", depth, tuple(NUM_BLOCKS))
    check_choice("stem_type", stem_type, tuple(STEMS))
    if res2_out_channels is None:
        res2_out_channels = stem_out_channels if depth < 50 else 256
    stem = STEMS[stem_type](3, stem_out_channels, norm, lowpass=lowpass, pool_size=stem_pool_size)
    stages, in_channels = [], stem_out_channels
    for index, num_blocks in enumerate(NUM_BLOCKS[depth]):
        options = {
            "in_channels": in_channels,
            "out_channels": res2_out_channels << index,
            "norm": norm,
            "stride_per_block": [2 if index else 1] + [1] * (num_blocks - 1),
            "lowpass_per_block": [lowpass if index else None] + [None] * (num_blocks - 1),
        }
        if depth < 50:
            stages.append(ResNet.make_stage(AABasicBlock, num_blocks, **options))
        else:
            options["bottleneck_channels"] = num_groups * width_per_group << index
            options["num_groups"] = num_groups
            stages.append(ResNet.make_stage(AABottleneckBlock, num_blocks, **options))
        in_channels = options["out_channels"]
    network = AAResNet(stem, stages, num_classes)
    if num_classes is not None:
        network.linear.reset_parameters()  # Detectron2 starts it otherwise
    return network
