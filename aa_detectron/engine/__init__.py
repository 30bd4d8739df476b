from .checkpoint import AACheckpointer
from .trainer import Trainer

__all__ = ["AACheckpointer", "Trainer"]
