from ..common.data.coco import dataloader
from ..common.models.cascade_mask_rcnn_fpn import model
from ..common.optim import sgd as optimizer
from ..common.schedule import max_iter
from ..common.schedule import multiplier_1x as lr_multiplier

train = dict(
    output_dir="./output/cascade_mask_rcnn_R_50_FPN_1x_adaptive",
    init_checkpoint="detectron2://ImageNetPretrained/MSRA/R-50.pkl",
    max_iter=max_iter,
)
