from .consistency import match_instances, pair_record, score_pairs
from .instance_consistency import InstanceConsistencyEvaluator

__all__ = ["InstanceConsistencyEvaluator", "match_instances", "pair_record", "score_pairs"]
