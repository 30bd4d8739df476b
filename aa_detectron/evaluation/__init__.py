from aa_detectron.compat import require_detectron2

require_detectron2(__name__)

# isort: split
from .accuracy import ClassificationEvaluator, VIDEvaluator
from .pair_evaluator import (
    ClassificationConsistencyEvaluator,
    InstanceConsistencyEvaluator,
    SemSegConsistencyEvaluator,
)
from .worst_shift_evaluator import WorstShiftEvaluator

__all__ = [
    "ClassificationConsistencyEvaluator",
    "ClassificationEvaluator",
    "InstanceConsistencyEvaluator",
    "SemSegConsistencyEvaluator",
    "VIDEvaluator",
    "WorstShiftEvaluator",
]
