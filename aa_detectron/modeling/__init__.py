from . import backbone  # noqa: F401  registers the backbones
