from ..common.data.coco import dataloader
from ..common.models.retinanet import model
from ..common.optim import sgd as optimizer
from ..common.schedule import max_iter
from ..common.schedule import multiplier_1x as lr_multiplier

dataloader.train.mapper.use_instance_mask = False
optimizer.lr = 0.01  # half of Faster R-CNN's
train = dict(
    output_dir="./output/retinanet_R_50_FPN_1x_adaptive",
    init_checkpoint="detectron2://ImageNetPretrained/MSRA/R-50.pkl",
    max_iter=max_iter,
)
