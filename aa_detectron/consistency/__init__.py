"""Consistency under shifts: crops, records of pairs, scores.

A library of its own on NumPy, SciPy, pycocotools and Pillow: it imports neither PyTorch nor
Detectron2.
"""

from .metric import ConsistencyMetric
from .predictors import evaluate_consistency
from .results import ConsistencyResult, SweepResult
from .sweep import evaluate_sweep

__all__ = [
    "ConsistencyMetric",
    "ConsistencyResult",
    "SweepResult",
    "evaluate_consistency",
    "evaluate_sweep",
]
