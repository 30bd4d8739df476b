"""Cascade Mask R-CNN (Cai and Vasconcelos, CVPR 2018): three box heads, one after another."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.roi_heads import (
    CascadeROIHeads,
    FastRCNNConvFCHead,
    FastRCNNOutputLayers,
)

from .mask_rcnn_fpn import model

heads = model.roi_heads
heads._target_ = CascadeROIHeads
del heads.box_head, heads.box_predictor, heads.proposal_matcher
heads.box_heads = [
    L(FastRCNNConvFCHead)(
        input_shape=L(ShapeSpec)(channels=256, height=7, width=7),
        conv_dims=[],
        fc_dims=[1024, 1024],
    )
    for _ in range(3)
]
heads.box_predictors = [
    L(FastRCNNOutputLayers)(
        input_shape=L(ShapeSpec)(channels=1024),
        box2box_transform=L(Box2BoxTransform)(weights=[x, x, x / 2, x / 2]),
        num_classes="${...num_classes}",
        cls_agnostic_bbox_reg=True,
        test_score_thresh=0.05,
    )
    for x in (10.0, 20.0, 30.0)
]
heads.proposal_matchers = [
    L(Matcher)(thresholds=[iou], labels=[0, 1], allow_low_quality_matches=False)
    for iou in (0.5, 0.6, 0.7)
]
