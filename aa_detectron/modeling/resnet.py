"""Stem and blocks of an anti-aliased ResNet (Zhang, ICML 2019, section 3; Zou et al., BMVC 2020).

Each class extends Detectron2's class and moves its stride into a low-pass filter. Convs and norms
keep their names, so that ordinary checkpoints load. The filter in the residual path is called
``aa``, and the filter before the shortcut ``aa_shortcut``. Without filters both are identities, and
the block computes the same as Detectron2's.
"""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_detectron.layers.build import Lowpass
from aa_detectron.layers.max_pool import MaxPool2d
from aa_detectron.layers.norm import Norm, get_norm

from .bases import (
    BasicBlock,
    BasicStem,
    BottleneckBlock,
    CNNBlockBase,
    Conv2d,
    DeformBottleneckBlock,
    c2_msra_fill,
    freeze_batch_norms,
)
from .filter_names import FILTERS


class AntiAliased(CNNBlockBase):
    """Base class of the anti-aliased stems and blocks."""

    freeze_lowpass = False

    def freeze(self) -> "AntiAliased":
        """Freezes all layers except the filters; ``freeze_lowpass`` freezes these as well.

        A stage is frozen to keep the weights of a checkpoint, which rarely has filters.
        """
        for name, child in self.named_children():
            if self.freeze_lowpass or name not in FILTERS:
                child.requires_grad_(False)
                freeze_batch_norms(child)
        return self


class AAResidualBlock(AntiAliased):
    """Residual block with filters in place of its stride; base class of the blocks below.

    Args:
        in_channels: number of channels of the input.
        out_channels: number of channels of the output.
        stride: stride of the whole block. With a ``lowpass`` all convs have stride 1.
        lowpass: function that builds the filters; None for a block without filters.
        freeze_lowpass: whether :meth:`freeze` freezes the filters as well.
        kwargs: further arguments of Detectron2's block.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))
    """

    if TYPE_CHECKING:  # TorchScript rejects a class that has annotations of modules
        # The other base class of each block below defines these; the kind of conv differs.
        conv1: Any
        conv2: Any
        shortcut: nn.Module | None
        aa: nn.Module
        aa_shortcut: nn.Module

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        lowpass: Lowpass | None = None,
        freeze_lowpass: bool = False,
        **kwargs: Any,
    ):
        super().__init__(in_channels, out_channels, stride=1 if lowpass else stride, **kwargs)
        self.stride = stride
        self.freeze_lowpass = freeze_lowpass
        self.aa = self.aa_shortcut = nn.Identity()
        if lowpass:
            # In every kind of block the filter's input has as many channels as the input of conv2.
            self.aa = lowpass(self.conv2.in_channels, stride)
            if self.shortcut is not None:
                self.aa_shortcut = lowpass(in_channels, stride)

    def add_shortcut(self, out: Tensor, x: Tensor) -> Tensor:
        """Adds the shortcut of the block's input ``x`` to ``out``, and applies the ReLU."""
        out += x if self.shortcut is None else self.shortcut(self.aa_shortcut(x))
        return F.relu_(out)


class AABasicBlock(AAResidualBlock, BasicBlock):
    """Block of ResNet-18 and -34: filters between the two 3x3 convs and before the shortcut.

    Unlike Detectron2's block, it can be dilated.
    """

    def __init__(self, *args: Any, dilation: int = 1, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for conv in (self.conv1, self.conv2):
            conv.dilation = conv.padding = (dilation, dilation)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu_(self.conv1(x))
        out = self.conv2(self.aa(out))
        return self.add_shortcut(out, x)


class AABottleneckBase(AAResidualBlock):
    """Base class of the bottleneck blocks: filters after the 3x3 conv and before the shortcut."""

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu_(self.conv1(x))
        out = F.relu_(self.conv3x3(out))
        out = self.conv3(self.aa(out))
        return self.add_shortcut(out, x)

    def conv3x3(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class AABottleneckBlock(AABottleneckBase, BottleneckBlock):
    """Block of ResNet-50 and deeper, and of ResNeXt."""

    def conv3x3(self, x: Tensor) -> Tensor:
        return self.conv2(x)


class AADeformBottleneckBlock(AABottleneckBase, DeformBottleneckBlock):
    """Block with a deformable 3x3 conv; needs a Detectron2 with compiled operators."""

    def conv3x3(self, x: Tensor) -> Tensor:
        offset = self.conv2_offset(x)
        if not self.deform_modulated:
            return self.conv2(x, offset)
        offset_x, offset_y, mask = offset.chunk(3, dim=1)
        return self.conv2(x, torch.cat((offset_x, offset_y), dim=1), mask.sigmoid())


class AAStem(AntiAliased):
    """Convs, max pooling of stride 1 and a filter of stride 2; base class of the stems below.

    Args:
        in_channels: number of channels of the image.
        out_channels: number of channels of the output.
        norm: norm after every conv.
        lowpass: function that builds the filter; with None the max pooling has stride 2, as in
            Detectron2.
        pool_size: side of the max pooling before the filter, 3 or 2 pixels. The published size is
            2, without padding: the map loses a row and a column.
        freeze_lowpass: whether :meth:`freeze` freezes the filter as well.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / 4), ceil(W / 4)); with pool size 2
        the map has ceil((ceil(H / 2) - 1) / 2) rows, and as many columns by the same rule.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 64,
        norm: Norm = "BN",
        *,
        lowpass: Lowpass | None = None,
        pool_size: int = 3,
        freeze_lowpass: bool = False,
    ):
        super().__init__(in_channels, out_channels, norm)
        self.freeze_lowpass = freeze_lowpass
        if lowpass:
            self.pool = MaxPool2d(pool_size, stride=1, padding=(pool_size - 1) // 2)
            self.aa = lowpass(out_channels, 2)
        else:
            self.pool = MaxPool2d(3, stride=2, padding=1)
            self.aa = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.aa(self.pool(self.convs(x)))

    def convs(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class AABasicStem(AAStem, BasicStem):
    """Stem with a 7x7 conv of stride 2."""

    def convs(self, x: Tensor) -> Tensor:
        return F.relu_(self.conv1(x))


class DeepLabConvs(CNNBlockBase):
    """The 3x3 convs of :class:`AADeepLabStem`, named as in Detectron2's DeepLab project."""

    def __init__(self, in_channels: int, out_channels: int, norm: Norm):
        super().__init__(in_channels, out_channels, 4)
        half = out_channels // 2
        self.conv1 = _conv3x3(in_channels, half, norm, stride=2)
        self.conv2 = _conv3x3(half, half, norm)
        self.conv3 = _conv3x3(half, out_channels, norm)


class AADeepLabStem(AAStem, DeepLabConvs):
    """Stem with three 3x3 convs, the first of stride 2 (Chen et al., ECCV 2018)."""

    def convs(self, x: Tensor) -> Tensor:
        x = F.relu_(self.conv1(x))  # TorchScript has no loop over a tuple of modules
        x = F.relu_(self.conv2(x))
        return F.relu_(self.conv3(x))


def _conv3x3(in_channels: int, out_channels: int, norm: Norm, stride: int = 1) -> Conv2d:
    conv = Conv2d(
        in_channels,
        out_channels,
        kernel_size=3,
        stride=stride,
        padding=1,
        bias=False,
        norm=get_norm(norm, out_channels),
    )
    c2_msra_fill(conv)
    return conv
