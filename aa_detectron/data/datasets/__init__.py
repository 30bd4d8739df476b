"""Datasets of this package; importing this module registers them."""

from . import builtin  # noqa: F401
