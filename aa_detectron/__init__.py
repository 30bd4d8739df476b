"""Adaptive anti-aliasing for detection and segmentation, an extension of Detectron2.

Importing it mends the installed Detectron2 where it is faulty (see ``compat``) and registers
backbones, filters and data sets. It changes no default of Detectron2's.
"""

from . import compat

compat.check_detectron2()
compat.apply()

from . import data, modeling  # noqa: E402, F401  registration only
from .config import add_aa_config  # noqa: E402

__version__ = "0.1.0"

__all__ = ["add_aa_config"]
