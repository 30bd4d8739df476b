from . import backbone, roi_heads  # noqa: F401  registers backbones and heads
