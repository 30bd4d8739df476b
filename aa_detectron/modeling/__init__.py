"""Networks; backbones, heads and the classifier are registered where Detectron2 is installed."""

from aa_detectron import compat

if compat.has_detectron2():
    from . import backbones, classifier, deeplab, roi_heads  # noqa: F401  registration only
