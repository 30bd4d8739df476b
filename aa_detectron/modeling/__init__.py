"""Networks; backbones, heads and the classifier are registered where Detectron2 is installed."""

from aa_detectron import compat

from .build import build_resnet
from .lazy import aa_resnet_backbone, antialiased

if compat.has_detectron2():
    from . import backbones, classifier, deeplab, roi_heads  # noqa: F401  registration only

__all__ = ["aa_resnet_backbone", "antialiased", "build_resnet"]
