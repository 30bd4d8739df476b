"""Low-pass filters in the places where any given network downsamples."""

from .network import antialias, filters_of, is_antialiased
from .report import AntialiasReport, Place

__all__ = ["AntialiasReport", "Place", "antialias", "filters_of", "is_antialiased"]
