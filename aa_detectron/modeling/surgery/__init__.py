"""Low-pass filters in the places where any given network downsamples."""

from .network import antialias, is_antialiased
from .report import AntialiasReport, Place

__all__ = ["AntialiasReport", "Place", "antialias", "is_antialiased"]
