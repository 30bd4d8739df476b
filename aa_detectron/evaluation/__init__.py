from .accuracy import ClassificationEvaluator, VIDEvaluator
from .classification import class_pair_record, score_class_pairs
from .classification_consistency import ClassificationConsistencyEvaluator
from .instance_consistency import InstanceConsistencyEvaluator
from .instances import match_instances, pair_record, score_pairs
from .sem_seg import label_pair_record, score_label_pairs
from .sem_seg_consistency import SemSegConsistencyEvaluator
from .worst_shift_evaluator import WorstShiftEvaluator

__all__ = [
    "ClassificationConsistencyEvaluator",
    "ClassificationEvaluator",
    "InstanceConsistencyEvaluator",
    "SemSegConsistencyEvaluator",
    "VIDEvaluator",
    "WorstShiftEvaluator",
    "class_pair_record",
    "label_pair_record",
    "match_instances",
    "pair_record",
    "score_class_pairs",
    "score_label_pairs",
    "score_pairs",
]
