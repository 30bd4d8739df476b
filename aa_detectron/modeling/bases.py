"""Base classes of stem, blocks and network: Detectron2's, or our own where it is not installed.

No other file makes this choice. Both have the same outputs, random weights and names of weights.
"""

from aa_detectron import compat

if compat.has_detectron2():
    from detectron2.layers import CNNBlockBase, Conv2d, FrozenBatchNorm2d
    from detectron2.modeling.backbone.resnet import (
        BasicBlock,
        BasicStem,
        BottleneckBlock,
        DeformBottleneckBlock,
        ResNet,
    )
    from fvcore.nn.weight_init import c2_msra_fill

    freeze_batch_norms = FrozenBatchNorm2d.convert_frozen_batchnorm
else:
    from .torch_resnet import (
        BasicBlock,
        BasicStem,
        BottleneckBlock,
        CNNBlockBase,
        Conv2d,
        DeformBottleneckBlock,
        ResNet,
        c2_msra_fill,
        freeze_batch_norms,
    )

__all__ = [
    "BasicBlock",
    "BasicStem",
    "BottleneckBlock",
    "CNNBlockBase",
    "Conv2d",
    "DeformBottleneckBlock",
    "ResNet",
    "c2_msra_fill",
    "freeze_batch_norms",
]
