"""Weights of other libraries, and of files from untrusted sources.

Reading, conversion and the comparison with a network do not need Detectron2. The checkpointer in
:mod:`aa_detectron.checkpoint.checkpointer` extends Detectron2's.
"""

from .conversion import Converted, convert, write_checkpoint
from .reading import read_checkpoint

__all__ = ["Converted", "convert", "read_checkpoint", "write_checkpoint"]
