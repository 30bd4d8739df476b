"""The published recipe: 100 epochs with 64 images of 1024 x 1024 per batch, from MAE's weights."""

from functools import partial

from detectron2.config import LazyCall as L
from detectron2.data import transforms as T
from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate

from aa_detectron.engine.solver import full_rate_for_filters

from ..common.data.coco import dataloader
from ..common.models.mask_rcnn_vitdet import model
from ..common.optim import adamw as optimizer
from ..common.schedule import multiplier_1x as lr_multiplier

images, size = 64, 1024
max_iter = 184375  # 100 epochs
dataloader.train.total_batch_size = images
dataloader.train.mapper.augmentations = [
    L(T.RandomFlip)(horizontal=True),
    L(T.ResizeScale)(min_scale=0.1, max_scale=2.0, target_height=size, target_width=size),
    L(T.FixedSizeCrop)(crop_size=(size, size), pad=False),
]
dataloader.train.mapper.recompute_boxes = True
dataloader.test.mapper.augmentations = [
    L(T.ResizeShortestEdge)(short_edge_length=size, max_size=size)
]
optimizer.params.lr_factor_func = partial(
    full_rate_for_filters,
    lr_factor=partial(get_vit_lr_decay_rate, num_layers=12, lr_decay_rate=0.7),
)
lr_multiplier.scheduler.update(milestones=[163889, 177546], num_updates=max_iter)
lr_multiplier.warmup_length = 250 / max_iter
train = dict(
    output_dir="./output/mask_rcnn_vitdet_b_100ep_adaptive",
    init_checkpoint="detectron2://ImageNetPretrained/MAE/mae_pretrain_vit_base.pth"
    "?matching_heuristics=True",
    max_iter=max_iter,
    amp=dict(enabled=True),
)
