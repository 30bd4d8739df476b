"""Checks that heads ask for feature maps that the backbone of a config has.

Backbones and heads of other libraries may read other keys, or none; they are left alone.
"""

from collections.abc import Sequence

from detectron2.config import CfgNode

from aa_detectron.errors import InvalidOption
from aa_detectron.modeling.build import FEATURES

RESNETS = tuple(
    f"build_{name}_backbone"
    for name in ("resnet", "aa_resnet", "resnet_deeplab", "aa_resnet_deeplab")
)
"""Builders of ResNets."""
PYRAMIDS = {
    "build_resnet_fpn_backbone": 1,
    "build_aa_resnet_fpn_backbone": 1,
    "build_retinanet_resnet_fpn_backbone": 2,
    "build_aa_resnet_retinanet_fpn_backbone": 2,
}
"""{builder of an FPN on a ResNet: number of maps that are smaller than those of the ResNet}."""
RPNS = ("RPN", "RRPN")
ROI_HEADS = (
    "AARes5ROIHeads",
    "CascadeROIHeads",
    "Res5ROIHeads",
    "RROIHeads",
    "StandardROIHeads",
)
SEM_SEG_HEADS = ("AADeepLabV3PlusHead", "DeepLabV3PlusHead", "SemSegFPNHead")
WITH_RPN = ("GeneralizedRCNN", "PanopticFPN", "ProposalNetwork")
ANCHORS = ("DefaultAnchorGenerator", "RotatedAnchorGenerator")


def check_features(cfg: CfgNode) -> None:
    """Rejects names of feature maps that the backbone does not have.

    Raises:
        InvalidOption: such a name, or sizes of anchors for another number of maps.
    """
    found = _features(cfg)
    for key, wanted in _wanted(cfg).items():
        if found is not None:
            _check_names(key, wanted, found)
        if key != "MODEL.ROI_HEADS.IN_FEATURES" and cfg.MODEL.ANCHOR_GENERATOR.NAME in ANCHORS:
            _check_anchors(cfg, key, len(wanted))
    sem_seg = cfg.MODEL.SEM_SEG_HEAD
    has_sem_seg = cfg.MODEL.META_ARCHITECTURE in ("SemanticSegmentor", "PanopticFPN")
    if has_sem_seg and sem_seg.NAME in SEM_SEG_HEADS and found is not None:
        _check_names("MODEL.SEM_SEG_HEAD.IN_FEATURES", sem_seg.IN_FEATURES, found)


def _features(cfg: CfgNode) -> tuple[str, ...] | None:
    """Returns the names of the backbone's maps, or None if the backbone is not known."""
    builder = cfg.MODEL.BACKBONE.NAME
    if builder == "build_antialiased_backbone":
        builder = cfg.MODEL.ANTIALIAS.BACKBONE
    if builder not in RESNETS and builder not in PYRAMIDS:
        return None
    of_resnet = cfg.MODEL.RESNETS.OUT_FEATURES
    _check_names("MODEL.RESNETS.OUT_FEATURES", of_resnet, FEATURES)
    if builder in RESNETS:
        return tuple(of_resnet)
    of_pyramid = cfg.MODEL.FPN.IN_FEATURES
    _check_names("MODEL.FPN.IN_FEATURES", of_pyramid, [name for name in of_resnet if "res" in name])
    numbers = [int(name.removeprefix("res")) for name in of_pyramid]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise InvalidOption("MODEL.FPN.IN_FEATURES", of_pyramid, "stages that follow one another")
    numbers += [numbers[-1] + extra for extra in range(1, PYRAMIDS[builder] + 1)]
    return tuple(f"p{number}" for number in numbers)


def _wanted(cfg: CfgNode) -> dict[str, Sequence[str]]:
    """Returns the names of maps, by config key, that parts with anchors or boxes read."""
    model = cfg.MODEL
    if model.META_ARCHITECTURE == "RetinaNet":
        return {"MODEL.RETINANET.IN_FEATURES": model.RETINANET.IN_FEATURES}
    wanted = {}
    if model.META_ARCHITECTURE in WITH_RPN and model.PROPOSAL_GENERATOR.NAME in RPNS:
        wanted["MODEL.RPN.IN_FEATURES"] = model.RPN.IN_FEATURES
    if model.META_ARCHITECTURE in WITH_RPN[:2] and model.ROI_HEADS.NAME in ROI_HEADS:
        wanted["MODEL.ROI_HEADS.IN_FEATURES"] = model.ROI_HEADS.IN_FEATURES
    return wanted


def _check_names(key: str, wanted: Sequence[str], found: Sequence[str]) -> None:
    if not wanted or not all(name in found for name in wanted):
        legal = f"one or more of the feature maps {', '.join(found)}"
        raise InvalidOption(key, wanted, legal)


def _check_anchors(cfg: CfgNode, key: str, number: int) -> None:
    """Checks the lists for each feature map; one list is for all of them."""
    for option in ("SIZES", "ASPECT_RATIOS"):
        lists = cfg.MODEL.ANCHOR_GENERATOR[option]
        is_for_all = len(lists) == 1 or not any(isinstance(x, list | tuple) for x in lists)
        if not lists or not (is_for_all or len(lists) == number):
            legal = f"1 list, or {number}: one for each map of {key}"
            raise InvalidOption(f"MODEL.ANCHOR_GENERATOR.{option}", lists, legal)
