"""Shifted pairs of every task.

A batch is a flat list of crops. Any Detectron2 model takes such a batch as it takes every other;
which crop belongs to which pair is in the key "pair" of its dict. Labels are neither needed nor
used.
"""

from .images import NEEDED, get_image_dicts, get_metadata
from .loader import build_shifted_pair_loader, flatten_pairs
from .mappers import ClassificationPairMapper, CropMapper, ShiftedPairMapper, cut_crop

__all__ = [
    "NEEDED",
    "ClassificationPairMapper",
    "CropMapper",
    "ShiftedPairMapper",
    "build_shifted_pair_loader",
    "cut_crop",
    "flatten_pairs",
    "get_image_dicts",
    "get_metadata",
]
