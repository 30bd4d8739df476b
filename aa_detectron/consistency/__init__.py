"""Consistency under shifts: crops, records of pairs, scores.

A separate library that needs NumPy, SciPy, pycocotools and Pillow. It imports neither PyTorch nor
Detectron2.
"""

from .metric import ConsistencyMetric
from .predictors import evaluate_consistency
from .remedies import average_shifts, stride_aligned
from .results import ConsistencyResult, SweepResult
from .sweep.evaluate import evaluate_sweep

__all__ = [
    "ConsistencyMetric",
    "ConsistencyResult",
    "SweepResult",
    "average_shifts",
    "evaluate_consistency",
    "evaluate_sweep",
    "stride_aligned",
]
