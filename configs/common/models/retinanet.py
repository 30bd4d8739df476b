"""RetinaNet (Lin et al., ICCV 2017) on an anti-aliased ResNet-50.

The values are those of Base-AA-RetinaNet.yaml.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, RetinaNet
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead

from aa_detectron.modeling import aa_resnet_backbone

model = L(RetinaNet)(
    backbone=L(FPN)(
        bottom_up=L(aa_resnet_backbone)(
            depth=50,
            filter="blur,adaptive,adaptive,adaptive",  # a fixed blur at the frozen stem
            norm="FrozenBN",
            stride_in_1x1=True,
            freeze_at=2,
            out_features=["res3", "res4", "res5"],
        ),
        in_features="${.bottom_up.out_features}",
        out_channels=256,
        top_block=L(LastLevelP6P7)(in_channels=2048, out_channels="${..out_channels}"),
    ),
    head=L(RetinaNetHead)(
        input_shape=[L(ShapeSpec)(channels=256)] * 5,
        num_classes="${..num_classes}",
        conv_dims=[256, 256, 256, 256],
        num_anchors=9,
    ),
    head_in_features=["p3", "p4", "p5", "p6", "p7"],
    anchor_generator=L(DefaultAnchorGenerator)(
        # Three anchors per octave: 1, 2^(1/3) and 2^(2/3) times the side.
        sizes=[
            [32, 40.3175, 50.7968],
            [64, 80.6349, 101.5937],
            [128, 161.2699, 203.1873],
            [256, 322.5398, 406.3747],
            [512, 645.0796, 812.7493],
        ],
        aspect_ratios=[0.5, 1.0, 2.0],
        strides=[8, 16, 32, 64, 128],
        offset=0.0,
    ),
    box2box_transform=L(Box2BoxTransform)(weights=[1.0, 1.0, 1.0, 1.0]),
    anchor_matcher=L(Matcher)(
        thresholds=[0.4, 0.5], labels=[0, -1, 1], allow_low_quality_matches=True
    ),
    num_classes=80,
    pixel_mean=[103.530, 116.280, 123.675],
    pixel_std=[1.0, 1.0, 1.0],
    input_format="BGR",
)
