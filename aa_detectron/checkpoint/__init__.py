"""Weights of other libraries, and of files that nobody vouches for."""

from .conversion import Converted, convert, write_checkpoint
from .reading import read_checkpoint

__all__ = ["Converted", "convert", "read_checkpoint", "write_checkpoint"]
