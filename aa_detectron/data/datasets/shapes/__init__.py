"""Shapes: an instance segmentation data set drawn by a seeded program."""

from .generate import SOURCES, Options, annotate, draw_image, make_shapes
from .geometry import CLASSES

__all__ = ["CLASSES", "SOURCES", "Options", "annotate", "draw_image", "make_shapes"]
