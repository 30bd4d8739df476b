"""All config keys of this package; none of Detectron2's defaults is changed."""

import os

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog

from aa_detectron.errors import InvalidOption


def add_aa_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.ANTIALIAS``, ``SOLVER.OPTIMIZER`` and ``TEST.CONSISTENCY`` to a config."""
    node = cfg.MODEL.ANTIALIAS = CfgNode()
    # "none" (Detectron2's own ResNet), "blur" (fixed, LPF), "adaptive", or any filter registered
    # in aa_detectron.layers.LOWPASS_REGISTRY.
    node.NAME = "adaptive"
    # Side of the filter. blur: 2 to 7; adaptive: 3, 5, 7, ...
    node.KERNEL_SIZE = 3
    # "reflect", "replicate" or "zeros".
    node.PADDING_MODE = "reflect"
    # Max pooling of the stem, of stride 1, before its filter: 3 (the size of the pool that is
    # replaced), or 2 as published, which moves the grid by one pixel of the input.
    node.STEM_POOL_SIZE = 3
    # Also filter, at stride 1, where a stage is dilated in place of its stride (DC5, DeepLab).
    node.DILATED = True
    # Freeze filters in the stages of MODEL.BACKBONE.FREEZE_AT, too. Off, since a filter that no
    # checkpoint has brought would stay at its start for ever.
    node.FREEZE = False

    # The following are for "adaptive" only.
    # Channel groups with a filter of their own; divides the channels of every filtered map.
    node.GROUPS = 8
    # "spatial_channel" (a filter per location and group), "spatial" (per location), "channel"
    # (per image and group) or "image" (per image).
    node.ADAPTIVITY = "spatial_channel"
    # "group": each group's filter sums to 1. "all": all groups' together, as in the authors' code.
    node.SOFTMAX = "group"
    # Norm in the predictor: "BN", "SyncBN", "FrozenBN", "GN" or "". Not MODEL.RESNETS.NORM, whose
    # default FrozenBN is meant for weights that a checkpoint brings.
    node.NORM = "BN"
    # "binomial": the filter starts as the blur of the same size. "kaiming": as published.
    node.INIT = "binomial"

    # "SGD", which is Detectron2's, or "ADAMW". Other extensions have this key, too.
    if "OPTIMIZER" not in cfg.SOLVER:
        cfg.SOLVER.OPTIMIZER = "SGD"

    node = cfg.TEST.CONSISTENCY = CfgNode()
    # Measure consistency under shifts whenever the model is tested.
    node.ENABLED = False
    # Names of data sets, or folders of images (no labels are needed). Empty: DATASETS.TEST.
    node.DATASETS = ()
    # S: offsets of the crops are uniform in {0..S}^2, in pixels of the original image; for small
    # images min(S, min(height, width) // 4).
    node.MAX_SHIFT = 32
    # Pairs of crops from each image.
    node.PAIRS_PER_IMAGE = 1
    # Pairs in one batch. Images of different sizes are padded to a common one, as everywhere in
    # Detectron2, which changes the last digits of the outputs.
    node.PAIRS_PER_BATCH = 1
    # Key of the generator of the offsets; independent of SEED, so that models are compared on the
    # same pairs.
    node.SEED = 0
    # Instances below this score do not count.
    node.SCORE_THRESH = 0.5
    # Only instances of the same class can match.
    node.MATCH_CLASS = True


def check_consistency_config(cfg: CfgNode) -> None:
    """Raises InvalidOption for a value of ``TEST.CONSISTENCY`` that could not be used."""
    options = cfg.TEST.CONSISTENCY
    for key in ("MAX_SHIFT", "PAIRS_PER_IMAGE", "PAIRS_PER_BATCH"):
        if options[key] < 1:
            raise InvalidOption(f"TEST.CONSISTENCY.{key}", options[key], "at least 1")
    if not 0 <= options.SCORE_THRESH <= 1:
        raise InvalidOption("TEST.CONSISTENCY.SCORE_THRESH", options.SCORE_THRESH, "from 0 to 1")
    for name in options.DATASETS:
        if name not in DatasetCatalog and not os.path.isdir(name):
            legal = "names of registered data sets or folders of images"
            raise InvalidOption("TEST.CONSISTENCY.DATASETS", name, legal)
