"""The blocks and stems of Detectron2's ResNet, which become those of :mod:`..resnet`.

Their max pooling and activations are functions, which no hook reaches. Their filters have the
names of :func:`~aa_detectron.modeling.build.build_resnet`.
"""

import functools
from collections.abc import Iterator
from typing import Any

from torch import nn

from aa_detectron.layers.max_pool import MaxPool2d

from ..bases import BasicBlock, BasicStem, BottleneckBlock, DeformBottleneckBlock
from ..filter_names import FILTERS
from ..resnet import (
    AABasicBlock,
    AABasicStem,
    AABottleneckBlock,
    AADeepLabStem,
    AADeformBottleneckBlock,
)
from .report import Place, Plan, describe, is_strided

_STEMS = {BasicStem: AABasicStem, AABasicStem: AABasicStem, AADeepLabStem: AADeepLabStem}
_BLOCKS = {
    BasicBlock: AABasicBlock,
    BottleneckBlock: AABottleneckBlock,
    DeformBottleneckBlock: AADeformBottleneckBlock,
    AABasicBlock: AABasicBlock,
    AABottleneckBlock: AABottleneckBlock,
    AADeformBottleneckBlock: AADeformBottleneckBlock,
}


def is_of_resnet(module: nn.Module) -> bool:
    """Tells whether a module is one of these; a subclass of another library is not."""
    return type(module) in _STEMS or type(module) in _BLOCKS


def places_of_resnet(module: Any, name: str) -> Iterator[Plan]:
    """Yields the places of a block or stem.

    Args:
        module: block or stem.
        name: its name in the model.
    """
    residual, shortcut = (f"{name}.{filter_name}".removeprefix(".") for filter_name in FILTERS)
    if type(module) in _STEMS:
        channels, layer = module.out_channels, "MaxPool2d 3x3, stride 2"
        place = Place(name, layer, "behind the pool at stride 1", residual, channels, 2)
        yield Plan(place, functools.partial(_filter_stem, module))
        conv = f"{name}.conv1".removeprefix(".")
        note = "left alone: reads the image; the filter of this stem is behind its pool"
        yield Plan(Place(conv, describe(module.conv1), note))
        return
    for conv_name, conv in module.named_children():
        if not is_strided(conv) or conv_name == "conv2_offset":
            continue
        is_shortcut = conv_name == "shortcut"
        place = Place(
            f"{name}.{conv_name}".removeprefix("."),
            describe(conv),
            "before the conv" if is_shortcut else "behind the activation",
            shortcut if is_shortcut else residual,
            conv.in_channels if is_shortcut else module.conv2.in_channels,
            module.stride,
        )
        yield Plan(place, functools.partial(_filter_block, module, is_shortcut))


def _filter_stem(stem: Any, lowpass: nn.Module) -> None:
    stem.__class__ = _STEMS[type(stem)]
    stem.pool = MaxPool2d(3, stride=1, padding=1)
    stem.aa = lowpass


def _filter_block(block: Any, is_shortcut: bool, lowpass: nn.Module) -> None:
    block.__class__ = _BLOCKS[type(block)]
    children = dict(block.named_children())
    for name in children.keys() - set(FILTERS):
        if is_strided(children[name]) and (name == "shortcut") == is_shortcut:
            children[name].stride = (1, 1)
    for name in set(FILTERS) - children.keys():
        block.add_module(name, nn.Identity())
    block.add_module(FILTERS[is_shortcut], lowpass)
