"""ROI heads of C4 detectors, which contain the last stage of the ResNet, res5."""

from detectron2.config import CfgNode
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import Res5ROIHeads
from torch import nn

from aa_detectron.config import check_has_keys
from aa_detectron.layers.registry import lowpass_per_place

from .backbones import stage_arguments
from .build import make_stage


@ROI_HEADS_REGISTRY.register()
class AARes5ROIHeads(Res5ROIHeads):
    """``Res5ROIHeads`` with the filters of ``MODEL.ANTIALIAS`` in res5."""

    @classmethod
    def _build_res5_block(cls, cfg: CfgNode) -> tuple[nn.Sequential, int]:
        check_has_keys(cfg)
        resnets = cfg.MODEL.RESNETS
        blocks = make_stage(
            5,
            lowpass=lowpass_per_place(cfg)[3],
            dilation=resnets.RES5_DILATION,
            deform=resnets.DEFORM_ON_PER_STAGE[3],
            **stage_arguments(cfg),
        )
        return nn.Sequential(*blocks), blocks[-1].out_channels
