"""All config keys of this package; none of Detectron2's defaults is changed."""

from detectron2.config import CfgNode

from aa_detectron.errors import InputError

SEGMENTORS = ("PanopticFPN", "SemanticSegmentor")
"""Detectron2's meta-architectures that learn from label maps, ``MODEL.SEM_SEG_HEAD``."""
CLASSIFIER = "AAImageClassifier"
"""The meta-architecture of :mod:`aa_detectron.modeling.classifier`."""


def add_aa_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.ANTIALIAS``, ``TEST.CONSISTENCY``, and keys of DeepLab, classifier, solver."""
    node = cfg.MODEL.ANTIALIAS = CfgNode()
    # "none" (Detectron2's own ResNet), "blur" (fixed, LPF), "adaptive", "pasa" ("adaptive" with
    # SOFTMAX "all" and INIT "kaiming", as published), "gaussian", "wavelet" (Haar low band), "flc",
    # "asap" (cut of the spectrum), or any filter registered in
    # aa_detectron.layers.LOWPASS_REGISTRY. Four names with commas between them are for stem, res3,
    # res4 and res5: "blur,adaptive,adaptive,none".
    node.NAME = "adaptive"
    # Side of the filter in pixels: 2 to 7 for "blur"; 2 or more for "gaussian"; 3, 5, 7, ... for
    # "adaptive" and "pasa".
    node.KERNEL_SIZE = 3
    # "reflect", "replicate" or "zeros". "flc" and "asap" take the map as periodic instead.
    node.PADDING_MODE = "reflect"
    # Size of the stem's max pooling, which has stride 1 and precedes the filter. 3 is the size of
    # the pooling that is replaced; 2 is as published and moves the grid by one pixel of the input.
    node.STEM_POOL_SIZE = 3
    # Also filter, at stride 1, where a stage has dilation in place of its stride (DC5, DeepLab).
    node.DILATED = True
    # Also freeze the filters in the stages of MODEL.BACKBONE.FREEZE_AT. The default is False, since
    # a filter that is not in the checkpoint would keep its random weights.
    node.FREEZE = False
    # For MODEL.BACKBONE.NAME "build_antialiased_backbone" only: name of the registered builder
    # whose backbone gets the filters.
    node.BACKBONE = ""
    # For the same builder: also filter the patch embedding of a transformer.
    node.PATCH_EMBED = False

    # Standard deviation of "gaussian", in pixels of the filtered feature map.
    node.SIGMA = 1.0

    # The following keys are for "adaptive" and "pasa" only.
    # Number of channel groups, each with its own filter. It divides the number of channels of every
    # filtered feature map.
    node.GROUPS = 8
    # "spatial_channel" (a filter per location and group), "spatial" (per location), "channel"
    # (per image and group) or "image" (per image).
    node.ADAPTIVITY = "spatial_channel"
    # "group": each group's filter sums to 1. "all": the filters of all groups together sum to 1, as
    # in the authors' code.
    node.SOFTMAX = "group"
    # Norm in the predictor: "BN", "SyncBN", "FrozenBN", "GN" or "". It differs from
    # MODEL.RESNETS.NORM, whose default FrozenBN is meant for weights from a checkpoint.
    node.NORM = "BN"
    # "binomial": the filter starts as the blur of the same size. "kaiming": as published.
    node.INIT = "binomial"
    # Number of groups of the predictor's conv, a divisor of GROUPS; 1 where ADAPTIVITY is "spatial"
    # or "image". Each group of channels predicts its own filters, with as many times fewer weights.
    node.PREDICTOR_GROUPS = 1
    # The predictor sees the map behind a binomial 3x3 blur: filters vary slowly between positions.
    node.PREDICTOR_SMOOTH = False
    # Side of the predictor's conv, odd; 0 for KERNEL_SIZE.
    node.PREDICTOR_KERNEL = 0

    _add_deeplab_config(cfg)
    _add_classifier_config(cfg)
    _add_solver_config(cfg)
    _add_consistency_config(cfg)


def check_has_keys(cfg: CfgNode) -> None:
    """Raises InputError if :func:`add_aa_config` has not added its keys to a config."""
    for node, key in ((cfg.MODEL, "MODEL.ANTIALIAS"), (cfg.TEST, "TEST.CONSISTENCY")):
        if key.rpartition(".")[2] not in node:
            raise InputError(
                f"{key}: the config has no such key; call aa_detectron.add_aa_config(cfg) on the "
                "result of get_cfg(), before a file is merged"
            )


def _add_deeplab_config(cfg: CfgNode) -> None:
    """Adds the keys of DeepLab v3+, with the defaults of Detectron2's DeepLab project.

    That project may add its own config as well, before or after this function.
    """
    _add_missing(
        cfg.MODEL.RESNETS,
        # Only build_aa_resnet_deeplab_backbone reads these three keys. RES4_DILATION 2 with
        # RES5_DILATION 4 gives output stride 8; 1 with 2 gives output stride 16.
        RES4_DILATION=1,
        # Factors of the dilation in res5, one for each block.
        RES5_MULTI_GRID=[1, 2, 4],
        # "basic" (7x7 conv) or "deeplab" (three 3x3 convs).
        STEM_TYPE="deeplab",
    )
    _add_missing(
        cfg.MODEL.SEM_SEG_HEAD,
        # "cross_entropy", or "hard_pixel_mining": the cross entropy of the 20 % of pixels with the
        # highest cross entropy.
        LOSS_TYPE="hard_pixel_mining",
        # Low-level feature maps of the decoder, finest first: IN_FEATURES without the last.
        PROJECT_FEATURES=["res2"],
        # Number of channels of each low-level feature map after its 1x1 conv.
        PROJECT_CHANNELS=[48],
        ASPP_CHANNELS=256,
        ASPP_DILATIONS=[6, 12, 18],
        ASPP_DROPOUT=0.1,
        USE_DEPTHWISE_SEPARABLE_CONV=False,
    )
    # Maximum fraction of a training crop that a single class may cover. A crop above it is drawn
    # again, up to ten times.
    _add_missing(cfg.INPUT.CROP, SINGLE_CATEGORY_MAX_AREA=1.0)


def _add_classifier_config(cfg: CfgNode) -> None:
    node = cfg.MODEL.CLASSIFIER = CfgNode()
    # Number of classes of backbones whose OUT_FEATURES have "linear".
    node.NUM_CLASSES = 1000
    # Fraction of the target that is spread evenly over all classes.
    node.LABEL_SMOOTHING = 0.0

    node = cfg.INPUT.CLASSIFIER = CfgNode()
    # Side of the training crops, in pixels.
    node.TRAIN_SIZE = 224
    # Range of the area of the training crops before resizing, as fractions of the image's area.
    node.TRAIN_AREA = (0.08, 1.0)
    # Shorter side of test images after resizing, in pixels. Pairs are cut from the center of the
    # resized image.
    node.TEST_RESIZE = 256
    # Side of the center crop for testing and of the crops of a pair, in pixels.
    node.TEST_SIZE = 224

    # Number of test images per batch and process. Detectron2 uses 1.
    _add_missing(cfg.TEST, IMS_PER_BATCH=1)


def _add_solver_config(cfg: CfgNode) -> None:
    _add_missing(
        cfg.SOLVER,
        # "SGD", which Detectron2 uses, or "ADAMW". Other extensions have this key, too.
        OPTIMIZER="SGD",
        # Training in several processes: let DDP look for parameters that no loss reaches in an
        # iteration, which takes some time. If False, such parameters end the training. DDP always
        # looks for them if the backbone has outputs that no head reads.
        FIND_UNUSED_PARAMETERS=False,
        # Factor of the learning rate for the backbone's parameters. It does not apply to the
        # filters, which are new if a checkpoint has the other weights. With MODEL.ANTIALIAS.FREEZE,
        # it applies to the filters as well.
        BACKBONE_MULTIPLIER=1.0,
        # Factor of the learning rate for the filters. They start as the fixed blur, and a short
        # training hardly moves them. Without effect with MODEL.ANTIALIAS.FREEZE.
        FILTER_MULTIPLIER=1.0,
        # LR_SCHEDULER_NAME "WarmupPolyLR": exponent of the decay, and the lowest learning rate as a
        # fraction of BASE_LR.
        POLY_LR_POWER=0.9,
        POLY_LR_CONSTANT_ENDING=0.0,
    )


def _add_missing(node: CfgNode, **defaults: object) -> None:
    """Adds the keys that no other extension has added."""
    for key, value in defaults.items():
        if key not in node:
            node[key] = value


def _add_consistency_config(cfg: CfgNode) -> None:
    node = cfg.TEST.CONSISTENCY = CfgNode()
    # Measure consistency under shifts whenever the model is tested.
    node.ENABLED = False
    # Names of datasets, or folders of images without labels. If empty, DATASETS.TEST is used.
    node.DATASETS = ()
    # S: offsets of the crops are uniform in {0..S}^2, in pixels of the original image. Small images
    # have min(S, min(height, width) // 4). For classifiers, offsets are in pixels of the resized
    # image, and S is less than TEST_RESIZE - TEST_SIZE.
    node.MAX_SHIFT = 32
    # Number of pairs of crops per image.
    node.PAIRS_PER_IMAGE = 1
    # Number of pairs per batch. As everywhere in Detectron2, images of different sizes are padded
    # to a common size, which changes the last digits of the outputs.
    node.PAIRS_PER_BATCH = 1
    # Seed of the offsets. It is independent of SEED, so that models are compared on the same pairs.
    node.SEED = 0
    # Minimum score of an instance that counts.
    node.SCORE_THRESH = 0.5
    # Only instances of the same class can match.
    node.MATCH_CLASS = True
    # Semantic segmentation: only pixels with a label other than the ignore label count.
    node.LABELLED_ONLY = False
    # An image of a folder that cannot be read or is too small ends the test. If False, the image is
    # left out and named in the log. Such an image of a registered dataset always ends the test.
    node.STRICT = False
    # Detectors: also measure AP over the worst shift of each image. This takes up to 21 passes per
    # image, and annotations in COCO's format.
    node.WORST_SHIFT = False
