from aa_detectron.compat import require_detectron2

require_detectron2(__name__)

# isort: split
from aa_detectron.checkpoint.checkpointer import AACheckpointer

from .launch import LoadedModel, evaluate, load_config, load_model
from .trainer import Trainer

__all__ = [
    "AACheckpointer",
    "LoadedModel",
    "Trainer",
    "evaluate",
    "load_config",
    "load_model",
]
