"""Shifted pairs of every task.

A batch is a flat list of crops, which any Detectron2 model takes. The key "pair" of a crop's dict
says which pair the crop belongs to. Labels are neither needed nor used.
"""

from .images import NEEDED, get_image_dicts, get_metadata
from .loader import (
    build_pair_mapper,
    build_shifted_pair_loader,
    flatten_pairs,
    make_pair_loader,
)
from .mappers import ClassificationPairMapper, CropMapper, ShiftedPairMapper, cut_crop

__all__ = [
    "NEEDED",
    "ClassificationPairMapper",
    "CropMapper",
    "ShiftedPairMapper",
    "build_pair_mapper",
    "build_shifted_pair_loader",
    "cut_crop",
    "flatten_pairs",
    "get_image_dicts",
    "get_metadata",
    "make_pair_loader",
]
