"""The network and recipe of demo_adaptive.yaml, which two CPU cores train in some minutes."""

from detectron2.config import LazyCall as L
from detectron2.data import transforms as T
from fvcore.common.param_scheduler import CosineParamScheduler

from ..common.data.coco import dataloader
from ..common.models.mask_rcnn_fpn import model
from ..common.optim import adamw as optimizer
from ..common.schedule import multiplier_1x as lr_multiplier

channels = 48
model.backbone.update(out_channels=channels, norm="BN")
model.backbone.bottom_up.update(
    depth=18,
    stem_out_channels=32,
    res2_out_channels=32,
    norm="BN",
    stride_in_1x1=False,
    freeze_at=0,
    filter="adaptive",
)
model.proposal_generator.update(
    in_features=["p2", "p3", "p4"],
    batch_size_per_image=64,
    pre_nms_topk=(200, 200),
    post_nms_topk=(100, 50),
)
model.proposal_generator.head.in_channels = channels
model.proposal_generator.anchor_generator.update(sizes=[[20], [40], [80]], strides=[4, 8, 16])

heads = model.roi_heads
heads.update(num_classes=6, batch_size_per_image=32, positive_fraction=0.5)
heads.box_in_features = heads.mask_in_features = ["p2", "p3"]
heads.box_pooler.update(scales=[1 / 4, 1 / 8], sampling_ratio=1)
heads.box_head.update(conv_dims=[channels, channels], fc_dims=[256])
heads.box_head.input_shape.channels = channels
heads.box_predictor.cls_agnostic_bbox_reg = True
heads.box_predictor.input_shape.channels = 256
heads.mask_pooler.update(scales=[1 / 4, 1 / 8], sampling_ratio=1)
heads.mask_head.update(num_classes=1, conv_dims=[channels] * 3)
heads.mask_head.input_shape.channels = channels
model.update(
    pixel_mean=[123.675, 116.28, 103.53], pixel_std=[58.395, 57.12, 57.375], input_format="RGB"
)

dataloader.train.dataset.names = "shapes_train"
dataloader.train.mapper.augmentations[0].update(short_edge_length=[128], max_size=256)
dataloader.train.mapper.instance_mask_format = "bitmask"
dataloader.train.update(total_batch_size=4, num_workers=0)
dataloader.test.dataset.names = "shapes_val"
dataloader.test.mapper.augmentations = [
    L(T.ResizeShortestEdge)(short_edge_length=128, max_size=256)
]
dataloader.test.num_workers = 0

optimizer.update(lr=0.002, weight_decay=0.01)
optimizer.params.overrides = None
lr_multiplier.update(
    scheduler=L(CosineParamScheduler)(start_value=1.0, end_value=0.0), warmup_length=100 / 1200
)
train = dict(
    output_dir="./output/demo_lazy/adaptive",
    max_iter=1200,
    checkpointer=dict(period=300),
    eval_period=0,
    seed=1,
)
consistency = dict(enabled=True)
