"""Training and evaluation from LazyConfigs; everything else of :mod:`aa_detectron.engine` has a
``CfgNode``."""

from .config import is_lazy, load_lazy_config
from .evaluation import evaluate_lazy
from .run import LoadedLazyModel, load_lazy_model, run_lazy
from .trainer import LazyTrainer

__all__ = [
    "LazyTrainer",
    "LoadedLazyModel",
    "evaluate_lazy",
    "is_lazy",
    "load_lazy_config",
    "load_lazy_model",
    "run_lazy",
]
