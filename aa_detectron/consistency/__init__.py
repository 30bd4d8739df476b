"""Consistency under shifts: crops, records of pairs, scores.

A separate library that needs NumPy, SciPy, pycocotools and Pillow. It imports neither PyTorch nor
Detectron2.
"""

from .metric import ConsistencyMetric
from .predictors import evaluate_consistency
from .results import ConsistencyResult, SweepResult
from .sweep.evaluate import evaluate_sweep

__all__ = [
    "ConsistencyMetric",
    "ConsistencyResult",
    "SweepResult",
    "evaluate_consistency",
    "evaluate_sweep",
]
