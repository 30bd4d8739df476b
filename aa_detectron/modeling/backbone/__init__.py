from . import build  # noqa: F401  registers the builders
from .aa_resnet import AABasicBlock, AABasicStem, AABottleneckBlock, AADeformBottleneckBlock

__all__ = ["AABasicBlock", "AABasicStem", "AABottleneckBlock", "AADeformBottleneckBlock"]
