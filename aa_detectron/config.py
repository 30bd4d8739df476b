"""All config keys of this package; none of Detectron2's defaults is changed."""

from detectron2.config import CfgNode

SEGMENTORS = ("PanopticFPN", "SemanticSegmentor")
"""Detectron2's meta-architectures that learn from label maps, ``MODEL.SEM_SEG_HEAD``."""
CLASSIFIER = "AAImageClassifier"
"""The meta-architecture of :mod:`aa_detectron.modeling.classifier`."""


def add_aa_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.ANTIALIAS``, ``TEST.CONSISTENCY``, and keys of DeepLab, classifier, solver."""
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
    # checkpoint has brought would keep its random weights.
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

    _add_deeplab_config(cfg)
    _add_classifier_config(cfg)
    _add_solver_config(cfg)
    _add_consistency_config(cfg)


def _add_deeplab_config(cfg: CfgNode) -> None:
    """DeepLab v3+: names, meanings and defaults of Detectron2's DeepLab project.

    So it makes no difference whether, or in which order, that project adds its config, too.
    """
    _add_missing(
        cfg.MODEL.RESNETS,
        # These three are read by build_aa_resnet_deeplab_backbone alone. RES4_DILATION 2 with
        # RES5_DILATION 4 is output stride 8; 1 with 2 is output stride 16.
        RES4_DILATION=1,
        # Factors of res5's dilation, one for each block.
        RES5_MULTI_GRID=[1, 2, 4],
        # "basic" (7x7 conv) or "deeplab" (three 3x3 convs).
        STEM_TYPE="deeplab",
    )
    _add_missing(
        cfg.MODEL.SEM_SEG_HEAD,
        # "cross_entropy", or "hard_pixel_mining": the cross entropy of the 20 % of pixels where it
        # is highest.
        LOSS_TYPE="hard_pixel_mining",
        # Low-level features of the decoder, finest first: IN_FEATURES without the last.
        PROJECT_FEATURES=["res2"],
        # Channels that a 1x1 conv leaves of each.
        PROJECT_CHANNELS=[48],
        ASPP_CHANNELS=256,
        ASPP_DILATIONS=[6, 12, 18],
        ASPP_DROPOUT=0.1,
        USE_DEPTHWISE_SEPARABLE_CONV=False,
    )
    # Crops for training are drawn again, up to ten times, while a single class covers more than
    # this fraction of the crop.
    _add_missing(cfg.INPUT.CROP, SINGLE_CATEGORY_MAX_AREA=1.0)


def _add_classifier_config(cfg: CfgNode) -> None:
    node = cfg.MODEL.CLASSIFIER = CfgNode()
    # Of backbones whose OUT_FEATURES have "linear".
    node.NUM_CLASSES = 1000
    # Fraction of the target that is spread evenly over all classes.
    node.LABEL_SMOOTHING = 0.0

    node = cfg.INPUT.CLASSIFIER = CfgNode()
    # Side of the training crops, in pixels.
    node.TRAIN_SIZE = 224
    # Range of their area before they are resized, as fractions of the image's area.
    node.TRAIN_AREA = (0.08, 1.0)
    # Shorter side to which images are resized for testing; pairs are cut from its
    # center.
    node.TEST_RESIZE = 256
    # Side of the center crop that is tested, and of the crops of a pair.
    node.TEST_SIZE = 224

    # Images a batch and process in testing; 1 is Detectron2's.
    _add_missing(cfg.TEST, IMS_PER_BATCH=1)


def _add_solver_config(cfg: CfgNode) -> None:
    _add_missing(
        cfg.SOLVER,
        # "SGD", which is Detectron2's, or "ADAMW". Other extensions have this key, too.
        OPTIMIZER="SGD",
        # On several processes: let DDP look for parameters that no loss reaches in an iteration,
        # which takes some time. Without it, such parameters end the training, except for those of
        # backbone outputs that no head reads: then DDP looks for them in any case.
        FIND_UNUSED_PARAMETERS=False,
        # Factor of the learning rate for the backbone's parameters except its filters (which are
        # new where a checkpoint brings the rest); with MODEL.ANTIALIAS.FREEZE for all of them.
        BACKBONE_MULTIPLIER=1.0,
        # For LR_SCHEDULER_NAME "WarmupPolyLR": exponent of the falling line, and the fraction of
        # BASE_LR below which the learning rate does not fall.
        POLY_LR_POWER=0.9,
        POLY_LR_CONSTANT_ENDING=0.0,
    )


def _add_missing(node: CfgNode, **defaults: object) -> None:
    """Adds the keys that no other extension has added before."""
    for key, value in defaults.items():
        if key not in node:
            node[key] = value


def _add_consistency_config(cfg: CfgNode) -> None:
    node = cfg.TEST.CONSISTENCY = CfgNode()
    # Measure consistency under shifts whenever the model is tested.
    node.ENABLED = False
    # Names of datasets, or folders of images (no labels are needed). Empty: DATASETS.TEST.
    node.DATASETS = ()
    # S: offsets of the crops are uniform in {0..S}^2, in pixels of the original image; for small
    # images min(S, min(height, width) // 4). Classifiers: of the resized image, and less than
    # TEST_RESIZE - TEST_SIZE.
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
    # Semantic segmentation: only pixels count that have a label, and not the ignore label.
    node.LABELLED_ONLY = False
    # An image of a folder that cannot be read or is too small ends the test. If False, it is left
    # out, and named in the log. Images of registered datasets always end it.
    node.STRICT = False
    # Detectors: also AP over the worst shift of each image, which takes up to 21 passes an image
    # and annotations in COCO's format.
    node.WORST_SHIFT = False
