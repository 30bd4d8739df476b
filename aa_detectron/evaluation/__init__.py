from aa_detectron.compat import require_detectron2

require_detectron2(__name__)

# isort: split
from aa_detectron.consistency.classes import class_pair_record, score_class_pairs
from aa_detectron.consistency.instances import match_instances, pair_record, score_pairs
from aa_detectron.consistency.label_maps import label_pair_record, score_label_pairs

from .accuracy import ClassificationEvaluator, VIDEvaluator
from .classification_consistency import ClassificationConsistencyEvaluator
from .instance_consistency import InstanceConsistencyEvaluator
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
