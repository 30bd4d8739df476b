"""Shapes: datasets for segmentation and classification, drawn by a seeded program."""

from .generate import (
    DEFAULTS,
    FOLDERS,
    SOURCES,
    Options,
    annotate,
    draw_image,
    make_shapes,
)
from .geometry import CLASSES

__all__ = [
    "CLASSES",
    "DEFAULTS",
    "FOLDERS",
    "SOURCES",
    "Options",
    "annotate",
    "draw_image",
    "make_shapes",
]
