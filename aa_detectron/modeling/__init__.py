from . import backbones, classifier, deeplab, roi_heads  # noqa: F401  registers backbones and heads
