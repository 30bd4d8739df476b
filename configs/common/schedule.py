"""Schedule "1x" of Detectron2's model zoo: 16 images per batch, about 12 epochs of COCO."""

from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler

max_iter = 90000
multiplier_1x = L(WarmupParamScheduler)(
    scheduler=L(MultiStepParamScheduler)(
        values=[1.0, 0.1, 0.01], milestones=[60000, 80000], num_updates=max_iter
    ),
    warmup_factor=0.001,
    warmup_length=1000 / max_iter,
)
