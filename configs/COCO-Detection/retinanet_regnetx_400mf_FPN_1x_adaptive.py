"""RetinaNet on a RegNetX-400MF (Radosavovic et al., CVPR 2020), from random weights."""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import RegNet
from detectron2.modeling.backbone.regnet import ResBottleneckBlock, SimpleStem

from aa_detectron.modeling import antialiased

from .retinanet_R_50_FPN_1x_adaptive import dataloader, lr_multiplier, model, optimizer, train

model.backbone.bottom_up = L(antialiased)(
    model=L(RegNet)(
        stem_class=SimpleStem,
        stem_width=32,
        block_class=ResBottleneckBlock,
        depth=22,
        w_a=24.48,
        w_0=24,
        w_m=2.54,
        group_width=16,
        norm="BN",
        out_features=["s2", "s3", "s4"],
    ),
    filter="adaptive",
)
model.backbone.in_features = ["s2", "s3", "s4"]
model.backbone.top_block.update(in_channels=384, in_feature="s4")
train.update(output_dir="./output/retinanet_regnetx_400mf_FPN_1x_adaptive", init_checkpoint="")
