from .mask_rcnn_vitdet_b_100ep_adaptive import (
    dataloader,
    lr_multiplier,
    model,
    optimizer,
    train,
)

model.backbone.net.filter = "none"
train.output_dir = "./output/mask_rcnn_vitdet_b_100ep_plain"
