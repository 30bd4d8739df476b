from aa_detectron.checkpoint.checkpointer import AACheckpointer

from .trainer import Trainer

__all__ = ["AACheckpointer", "Trainer"]
