"""ResNets (He et al., CVPR 2016) in PyTorch only, with the interface of Detectron2's.

Stem and blocks have the layers only; the anti-aliased classes that extend them define ``forward``.
Layers are built, and random weights drawn, in Detectron2's order.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aa_detectron.layers.norm import Norm, get_torch_norm


class Conv2d(nn.Conv2d):
    """A conv with or without a norm after it."""

    def __init__(self, *args: Any, norm: nn.Module | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        x = self._conv_forward(x, self.weight, self.bias)  # TorchScript has no super()
        return x if self.norm is None else self.norm(x)


class CNNBlockBase(nn.Module):
    """Base class of stems and blocks: from ``in_channels`` to ``out_channels``, with a stride."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.in_channels, self.out_channels, self.stride = in_channels, out_channels, stride

    def freeze(self) -> "CNNBlockBase":
        raise NotImplementedError


class BasicStem(CNNBlockBase):
    """Layers of the stem: a 7x7 conv of stride 2."""

    def __init__(self, in_channels: int = 3, out_channels: int = 64, norm: Norm = "BN"):
        super().__init__(in_channels, out_channels, 4)
        self.conv1 = _conv(in_channels, out_channels, 7, norm, stride=2)
        c2_msra_fill(self.conv1)


class BasicBlock(CNNBlockBase):
    """Layers of a basic block: two 3x3 convs."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, norm: Norm = "BN"):
        super().__init__(in_channels, out_channels, stride)
        self.shortcut = _shortcut(self, norm)
        self.conv1 = _conv(in_channels, out_channels, 3, norm, stride=stride)
        self.conv2 = _conv(out_channels, out_channels, 3, norm)
        _fill(self.conv1, self.conv2, self.shortcut)


class BottleneckBlock(CNNBlockBase):
    """Layers of a bottleneck block: a 1x1, a 3x3 (may be grouped or dilated) and a 1x1 conv."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bottleneck_channels: int,
        stride: int = 1,
        num_groups: int = 1,
        norm: Norm = "BN",
        stride_in_1x1: bool = False,
        dilation: int = 1,
    ):
        super().__init__(in_channels, out_channels, stride)
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        grouped = {"groups": num_groups, "dilation": dilation}
        self.shortcut = _shortcut(self, norm)
        self.conv1 = _conv(in_channels, bottleneck_channels, 1, norm, stride=first)
        self.conv2 = _conv(
            bottleneck_channels, bottleneck_channels, 3, norm, stride=second, **grouped
        )
        self.conv3 = _conv(bottleneck_channels, out_channels, 1, norm)
        _fill(self.conv1, self.conv2, self.conv3, self.shortcut)


class DeformBottleneckBlock(BottleneckBlock):
    """A base class by name only: deformable convs need Detectron2's compiled operators."""


class ResNet(nn.Module):
    """A stem, the stages "res2", "res3", ..., and with ``num_classes`` a classifier, "linear".

    Args:
        stem: stem.
        stages: lists of blocks, one for each stage.
        num_classes: number of classes; None for no classifier.
        out_features: names of the outputs. Stages after the last one named are left out. None for
            the last output.
        freeze_at: number of frozen stages; the stem is the first.

    Shape:
        (N, C, H, W) -> {name: feature map (N, C', H', W'); for "linear" logits (N, num_classes)}
    """

    def __init__(
        self,
        stem: CNNBlockBase,
        stages: Sequence[Sequence[CNNBlockBase]],
        num_classes: int | None = None,
        out_features: Sequence[str] | None = None,
        freeze_at: int = 0,
    ):
        super().__init__()
        self.stem = stem
        names = [f"res{number}" for number in range(2, 2 + len(stages))]
        if out_features is not None:
            names = names[: max(names.index(f) + 1 if f in names else 0 for f in out_features)]
        for name, blocks in zip(names, stages, strict=False):
            self.add_module(name, nn.Sequential(*blocks))
        self.stage_names, self.num_classes = tuple(names), num_classes
        if num_classes is not None:
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.linear = nn.Linear(stages[len(names) - 1][-1].out_channels, num_classes)
            nn.init.normal_(self.linear.weight, std=0.01)
        last = "linear" if num_classes is not None else names[-1]
        self.out_features = [last] if out_features is None else list(out_features)
        if freeze_at:
            stem.freeze()
        for name in names[: max(freeze_at - 1, 0)]:
            for block in getattr(self, name):
                block.freeze()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        outputs = {"stem": (x := self.stem(x))}
        for name in self.stage_names:
            outputs[name] = x = getattr(self, name)(x)
        if self.num_classes is not None:
            outputs["linear"] = self.linear(self.avgpool(x).flatten(1))
        return {name: outputs[name] for name in outputs if name in self.out_features}

    @staticmethod
    def make_stage(
        block_class: Callable[..., CNNBlockBase],
        num_blocks: int,
        *,
        in_channels: int,
        out_channels: int,
        **kwargs: Any,
    ) -> list[CNNBlockBase]:
        """Builds the blocks of a stage.

        Args:
            block_class: class of the blocks.
            num_blocks: number of blocks.
            in_channels: number of channels of the stage's input.
            out_channels: number of channels of every block's output.
            kwargs: further arguments of all blocks; "x_per_block" lists "x" for each block.
        """
        blocks, suffix = [], "_per_block"
        for i in range(num_blocks):
            own = {
                name.removesuffix(suffix): value[i] if name.endswith(suffix) else value
                for name, value in kwargs.items()
            }
            blocks.append(block_class(in_channels, out_channels, **own))
            in_channels = out_channels
        return blocks


@torch.no_grad()
def freeze_batch_norms(module: nn.Module) -> nn.Module:
    """Replaces every batch norm in a module by a frozen one with the same values."""
    for name, child in module.named_children():
        if not isinstance(child, nn.BatchNorm2d | nn.SyncBatchNorm):
            freeze_batch_norms(child)
            continue
        frozen: Any = get_torch_norm("FrozenBN", child.num_features)
        frozen.eps = child.eps
        frozen.load_state_dict(child.state_dict(), strict=False)
        setattr(module, name, frozen)
    return module


def c2_msra_fill(conv: nn.Conv2d) -> None:
    """Draws the weights of a conv from Kaiming's normal distribution (fan_out)."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")


def _fill(*convs: nn.Conv2d | None) -> None:
    for conv in convs:
        if conv is not None:
            c2_msra_fill(conv)


def _conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    norm: Norm,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> Conv2d:
    return Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        groups=groups,
        bias=False,
        norm=get_torch_norm(norm, out_channels),
    )


def _shortcut(block: CNNBlockBase, norm: Norm) -> Conv2d | None:
    if block.in_channels == block.out_channels:
        return None
    return _conv(block.in_channels, block.out_channels, 1, norm, stride=block.stride)
