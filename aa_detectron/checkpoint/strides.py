"""Which conv of the bottleneck blocks has the stride, which leaves no trace in the weights."""

from typing import Any

from torch import nn

from aa_detectron.modeling.bases import BottleneckBlock, DeformBottleneckBlock

STRIDE_IN_1X1 = "MODEL.RESNETS.STRIDE_IN_1X1"


def stride_option(model: nn.Module) -> dict[str, bool]:
    """Returns {``STRIDE_IN_1X1``: value}; nothing if no conv of a block has a stride.

    A filter takes the stride of its block, and a dilation replaces it. In such blocks the option
    has no effect.

    Args:
        model: model with bottleneck blocks anywhere, such as in backbone and ROI heads.
    """
    blocks = [m for m in model.modules() if isinstance(m, BottleneckBlock | DeformBottleneckBlock)]
    found = {_is_strided(b.conv1) for b in blocks if _is_strided(b.conv1) or _is_strided(b.conv2)}
    return {STRIDE_IN_1X1: found.pop()} if len(found) == 1 else {}


def known_stride(checkpoint: dict) -> dict[str, Any]:
    """Returns {``STRIDE_IN_1X1``: value} if it is known of a checkpoint, else nothing.

    Raises:
        ValueError: this package did not write these notes.
    """
    if checkpoint.get("__author__") == "torchvision":  # written by Detectron2's converter
        return {STRIDE_IN_1X1: False}
    notes = checkpoint.get("notes")
    config = notes.get("config", {}) if isinstance(notes, dict) else {}
    if STRIDE_IN_1X1 not in config:
        return {}
    if not isinstance(config[STRIDE_IN_1X1], bool):
        found = type(config[STRIDE_IN_1X1]).__name__
        raise ValueError(f"{STRIDE_IN_1X1} in its notes is of type {found}")
    return {STRIDE_IN_1X1: config[STRIDE_IN_1X1]}


def is_foreign(checkpoint: dict) -> bool:
    """Returns whether what is known of a checkpoint follows from its names, or from a converter."""
    notes = checkpoint.get("notes")
    return "__author__" in checkpoint or (isinstance(notes, dict) and "naming" in notes)


def _is_strided(conv: nn.Module) -> bool:
    return getattr(conv, "stride", 1) not in (1, (1, 1))
