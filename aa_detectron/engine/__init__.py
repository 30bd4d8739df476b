from aa_detectron.compat import require_detectron2

require_detectron2(__name__)

# isort: split
from aa_detectron.checkpoint.checkpointer import AACheckpointer

from .trainer import Trainer

__all__ = ["AACheckpointer", "Trainer"]
