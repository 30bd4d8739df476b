"""The legal values of config keys, both Detectron2's and this package's, in one table.

The table has the keys whose illegal values would otherwise end in a traceback, or train silently.
:mod:`aa_detectron.engine.checks` has the values that depend on datasets. A value that only one
module knows is checked in that module.
"""

import math
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.modeling import (
    ANCHOR_GENERATOR_REGISTRY,
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    PROPOSAL_GENERATOR_REGISTRY,
    ROI_BOX_HEAD_REGISTRY,
    ROI_HEADS_REGISTRY,
    ROI_KEYPOINT_HEAD_REGISTRY,
    ROI_MASK_HEAD_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
)
from fvcore.common.registry import Registry

from aa_detectron.errors import InvalidOption

LARGEST_SEED = 2**32 - 1  # largest seed that NumPy accepts
FORMATS = ("BGR", "RGB", "L", "YUV-BT.601")
POOLERS = ("ROIAlign", "ROIAlignV2", "ROIAlignRotated", "ROIPool")
NORMS = ("", "BN", "SyncBN", "FrozenBN", "GN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N", "LN")


class Rule(NamedTuple):
    """A condition for the value of a key."""

    legal: str
    """Words that follow "must be"."""
    holds: Callable[[object], bool]


def number(low: float = -math.inf, high: float = math.inf, *, above: float = -math.inf) -> Rule:
    """A finite number from ``low`` to ``high`` that is greater than ``above``."""
    bounds = [
        *([f"at least {low}"] if low > -math.inf else []),
        *([f"above {above}"] if above > -math.inf else []),
        *([f"at most {high}"] if high < math.inf else []),
    ]
    return Rule(
        f"a number, {' and '.join(bounds)}" if bounds else "a finite number",
        lambda value: (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and low <= value <= high
            and value > above
        ),
    )


def integer(low: int, high: float = math.inf) -> Rule:
    """An integer from ``low`` to ``high``."""
    end = f" to {high}" if high < math.inf else " or more"
    return Rule(
        f"an integer, {low}{end}", lambda value: type(value) is int and low <= value <= high
    )


def one_of(choices: Collection) -> Rule:
    return Rule("one of " + ", ".join(map(repr, choices)), lambda value: value in choices)


def registered(registry: Registry) -> Rule:
    """A name in a registry, which users may extend."""

    def holds(value: object) -> bool:
        return isinstance(value, str) and value in registry

    return Rule(f"a name in Detectron2's registry {registry._name}", holds)


def each(rule: Rule, *, least: int = 0) -> Rule:
    """A list of at least ``least`` members, each of which meets ``rule``."""
    legal = f"a list of {least} or more, each {rule.legal}"
    return Rule(
        legal,
        lambda value: (
            isinstance(value, list | tuple) and len(value) >= least and all(map(rule.holds, value))
        ),
    )


def either(first: Rule, second: Rule) -> Rule:
    return Rule(
        f"{first.legal}, or {second.legal}", lambda value: first.holds(value) or second.holds(value)
    )


def increasing_fractions(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and 0 < value[0] <= value[1] <= 1


def is_device(value: object) -> bool:
    try:
        torch.device(value)  # type: ignore[call-overload]
    except (RuntimeError, TypeError):
        return False
    return True


NAMES = each(Rule("the name of a dataset", lambda value: isinstance(value, str) and value != ""))
FRACTION = number(0, 1)
POSITIVE = number(above=0)
OVERLAPS = each(number(high=1, above=0), least=1)

RULES: dict[str, Rule] = {
    "SEED": integer(-(2**63), LARGEST_SEED),
    "DATALOADER.NUM_WORKERS": integer(0),
    "DATALOADER.REPEAT_THRESHOLD": number(0),
    "DATALOADER.SAMPLER_TRAIN": one_of(
        (
            "TrainingSampler",
            "RepeatFactorTrainingSampler",
            "RandomSubsetTrainingSampler",
            "WeightedTrainingSampler",
            "WeightedCategoryTrainingSampler",
        )
    ),
    "DATASETS.TEST": NAMES,
    "DATASETS.TRAIN": NAMES,
    "INPUT.CLASSIFIER.TEST_RESIZE": integer(1),
    "INPUT.CLASSIFIER.TEST_SIZE": integer(1),
    "INPUT.CLASSIFIER.TRAIN_AREA": Rule(
        "two fractions above 0, the first not above the second", increasing_fractions
    ),
    "INPUT.CLASSIFIER.TRAIN_SIZE": integer(1),
    "INPUT.CROP.SIZE": each(POSITIVE, least=2),
    "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA": number(above=0),
    "INPUT.CROP.TYPE": one_of(("relative_range", "relative", "absolute", "absolute_range")),
    "INPUT.FORMAT": one_of(FORMATS),
    "INPUT.MASK_FORMAT": one_of(("polygon", "bitmask")),
    "INPUT.MAX_SIZE_TEST": integer(1),
    "INPUT.MAX_SIZE_TRAIN": integer(1),
    "INPUT.MIN_SIZE_TEST": integer(0),
    "INPUT.MIN_SIZE_TRAIN": either(each(integer(1), least=1), integer(1)),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": one_of(("range", "choice")),
    "INPUT.RANDOM_FLIP": one_of(("horizontal", "vertical", "none")),
    "MODEL.ANCHOR_GENERATOR.NAME": registered(ANCHOR_GENERATOR_REGISTRY),
    "MODEL.ANTIALIAS.BACKBONE": either(registered(BACKBONE_REGISTRY), one_of(("",))),
    "MODEL.ANTIALIAS.GROUPS": integer(1),
    "MODEL.ANTIALIAS.KERNEL_SIZE": integer(2),
    "MODEL.ANTIALIAS.NAME": Rule(
        "the name of a filter, or four with commas between them",
        lambda value: isinstance(value, str),
    ),
    "MODEL.ANTIALIAS.PREDICTOR_GROUPS": integer(1),
    "MODEL.ANTIALIAS.PREDICTOR_KERNEL": integer(0),
    "MODEL.ANTIALIAS.SIGMA": POSITIVE,
    "MODEL.BACKBONE.NAME": registered(BACKBONE_REGISTRY),
    "MODEL.CLASSIFIER.LABEL_SMOOTHING": FRACTION,
    "MODEL.CLASSIFIER.NUM_CLASSES": integer(1),
    "MODEL.DEVICE": Rule('a device of PyTorch, such as "cuda" or "cpu"', is_device),
    "MODEL.FPN.FUSE_TYPE": one_of(("sum", "avg")),
    "MODEL.FPN.NORM": one_of(NORMS),
    "MODEL.FPN.OUT_CHANNELS": integer(1),
    "MODEL.META_ARCHITECTURE": registered(META_ARCH_REGISTRY),
    "MODEL.PIXEL_MEAN": each(number(), least=1),
    "MODEL.PIXEL_STD": each(POSITIVE, least=1),
    "MODEL.PROPOSAL_GENERATOR.NAME": either(
        registered(PROPOSAL_GENERATOR_REGISTRY), one_of(("PrecomputedProposals",))
    ),
    "MODEL.RESNETS.NORM": one_of(NORMS),
    "MODEL.RESNETS.NUM_GROUPS": integer(1),
    "MODEL.RESNETS.RES2_OUT_CHANNELS": integer(1),
    "MODEL.RESNETS.RES5_MULTI_GRID": each(integer(1), least=1),
    "MODEL.RESNETS.STEM_OUT_CHANNELS": integer(1),
    "MODEL.RESNETS.WIDTH_PER_GROUP": integer(1),
    "MODEL.RETINANET.NUM_CLASSES": integer(1),
    "MODEL.RETINANET.IOU_THRESHOLDS": OVERLAPS,
    "MODEL.RETINANET.NORM": one_of(NORMS),
    "MODEL.ROI_BOX_HEAD.NAME": either(registered(ROI_BOX_HEAD_REGISTRY), one_of(("",))),
    "MODEL.ROI_BOX_HEAD.NORM": one_of(NORMS),
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": integer(1),
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": one_of(POOLERS),
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": integer(1),
    "MODEL.ROI_HEADS.IOU_THRESHOLDS": OVERLAPS,
    "MODEL.ROI_HEADS.NAME": registered(ROI_HEADS_REGISTRY),
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": FRACTION,
    "MODEL.ROI_HEADS.NUM_CLASSES": integer(1),
    "MODEL.ROI_HEADS.POSITIVE_FRACTION": FRACTION,
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": FRACTION,
    "MODEL.ROI_KEYPOINT_HEAD.NAME": registered(ROI_KEYPOINT_HEAD_REGISTRY),
    "MODEL.ROI_KEYPOINT_HEAD.POOLER_RESOLUTION": integer(1),
    "MODEL.ROI_KEYPOINT_HEAD.POOLER_TYPE": one_of(POOLERS),
    "MODEL.ROI_MASK_HEAD.NAME": registered(ROI_MASK_HEAD_REGISTRY),
    "MODEL.ROI_MASK_HEAD.NORM": one_of(NORMS),
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": integer(1),
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": one_of(POOLERS),
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": integer(1),
    "MODEL.RPN.IOU_THRESHOLDS": OVERLAPS,
    "MODEL.RPN.NMS_THRESH": FRACTION,
    "MODEL.SEM_SEG_HEAD.ASPP_CHANNELS": integer(1),
    "MODEL.SEM_SEG_HEAD.ASPP_DROPOUT": FRACTION,
    "MODEL.SEM_SEG_HEAD.CONVS_DIM": integer(1),
    "MODEL.SEM_SEG_HEAD.IGNORE_VALUE": integer(0, 255),
    "MODEL.SEM_SEG_HEAD.LOSS_WEIGHT": number(0),
    "MODEL.SEM_SEG_HEAD.NAME": registered(SEM_SEG_HEADS_REGISTRY),
    "MODEL.SEM_SEG_HEAD.NORM": one_of(NORMS),
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES": integer(1, 255),
    "SOLVER.BACKBONE_MULTIPLIER": number(0),
    "SOLVER.FILTER_MULTIPLIER": number(0),
    "SOLVER.BASE_LR": number(0),
    "SOLVER.CHECKPOINT_PERIOD": integer(1),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": one_of(("value", "norm", "full_model")),
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": POSITIVE,
    "SOLVER.GAMMA": number(0),
    "SOLVER.IMS_PER_BATCH": integer(1),
    "SOLVER.MAX_ITER": integer(1),
    "SOLVER.MOMENTUM": FRACTION,
    "SOLVER.POLY_LR_CONSTANT_ENDING": FRACTION,
    "SOLVER.POLY_LR_POWER": number(0),
    "SOLVER.STEPS": each(integer(0)),
    "SOLVER.WARMUP_FACTOR": number(0),
    "SOLVER.WARMUP_ITERS": integer(0),
    "SOLVER.WARMUP_METHOD": one_of(("linear", "constant")),
    "SOLVER.WEIGHT_DECAY": number(0),
    "SOLVER.WEIGHT_DECAY_NORM": number(0),
    # Detectron2's tools/train_net.py runs this test; its DefaultTrainer and ours do not.
    "TEST.AUG.ENABLED": Rule("False: there is no test-time augmentation", lambda value: not value),
    "TEST.CONSISTENCY.DATASETS": NAMES,
    "TEST.CONSISTENCY.MAX_SHIFT": integer(1),
    "TEST.CONSISTENCY.PAIRS_PER_BATCH": integer(1),
    "TEST.CONSISTENCY.PAIRS_PER_IMAGE": integer(1),
    "TEST.CONSISTENCY.SCORE_THRESH": FRACTION,
    "TEST.DETECTIONS_PER_IMAGE": integer(1),
    "TEST.EVAL_PERIOD": integer(0),
    "TEST.IMS_PER_BATCH": integer(1),
}
"""Rules by key; keys that a config lacks are skipped."""


def check_values(cfg: CfgNode) -> None:
    """Rejects illegal values, and numbers that are not finite under any key.

    Raises:
        InvalidOption: an illegal value; the message names the key, the value and the legal values.
    """
    values = dict(_leaves(cfg))
    for key, value in values.items():
        if not all(math.isfinite(x) for x in _numbers(value)):
            raise InvalidOption(key, value, "finite")
        if isinstance(value, str) and "\0" in value:
            raise InvalidOption(key, value, "text without NUL")
    for key, rule in RULES.items():
        if key in values and not rule.holds(values[key]):
            raise InvalidOption(key, values[key], rule.legal)
    _check_pixels(cfg)


def _check_pixels(cfg: CfgNode) -> None:
    channels = 1 if cfg.INPUT.FORMAT == "L" else 3
    for key in ("PIXEL_MEAN", "PIXEL_STD"):
        if len(cfg.MODEL[key]) != channels:
            legal = f"{channels} numbers for INPUT.FORMAT {cfg.INPUT.FORMAT}"
            raise InvalidOption(f"MODEL.{key}", cfg.MODEL[key], legal)


def _leaves(node: CfgNode, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _numbers(value: object) -> Iterator[float]:
    """All floats in a value, including nested lists."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _numbers(member)
