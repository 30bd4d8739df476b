"""Data sets of this package; importing this registers them."""

from . import builtin  # noqa: F401
