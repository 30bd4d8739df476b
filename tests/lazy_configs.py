"""Small LazyConfigs, by difference from the shipped ones, and a stranger's."""

from pathlib import Path

DEMO = "Shapes-InstanceSegmentation/demo_adaptive.py"
RETINANET = f'''
"""RetinaNet with an FPN on a narrow RegNet, and the demo's data and schedule."""

from aa_detectron import model_zoo

_demo = model_zoo.get_config("{DEMO}")
train, dataloader, consistency = _demo.train, _demo.dataloader, _demo.consistency
optimizer, lr_multiplier = _demo.optimizer, _demo.lr_multiplier
dataloader.train.mapper.use_instance_mask = False

model = model_zoo.get_config("COCO-Detection/retinanet_regnetx_400mf_FPN_1x_adaptive.py").model
model.backbone.bottom_up.model.update(
    stem_width=8, depth=4, w_a=8.0, w_0=8, w_m=2.0, group_width=8, out_features=["s1", "s2", "s3"]
)
model.backbone.update(out_channels=16, in_features=["s1", "s2", "s3"])
model.backbone.top_block.update(in_channels=32, in_feature="s3")
model.head.update(conv_dims=[16], num_anchors=3)
for _shape in model.head.input_shape:
    _shape.channels = 16
model.head_in_features = ["p2", "p3", "p4", "p5", "p6"]
model.anchor_generator.update(sizes=[[8], [16], [32], [64], [128]], strides=[4, 8, 16, 32, 64])
model.update(num_classes=6, test_score_thresh=0.0)
'''
STRANGER = '''
"""Everything is Detectron2's, with a plain ResNet and keys of its model zoo."""

from detectron2.config import LazyCall as L
from detectron2.data import (
    DatasetMapper,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.data import transforms as T
from detectron2.evaluation import COCOEvaluator
from detectron2.layers import ShapeSpec
from detectron2.modeling import ResNet
from detectron2.modeling.backbone import BasicStem

from aa_detectron import model_zoo

_demo = model_zoo.get_config("Shapes-InstanceSegmentation/demo_adaptive.py")
model, optimizer, lr_multiplier = _demo.model, _demo.optimizer, _demo.lr_multiplier
model.backbone.bottom_up = L(ResNet)(
    stem=L(BasicStem)(in_channels=3, out_channels=64, norm="BN"),
    stages=L(ResNet.make_default_stages)(depth=18, norm="BN"),
    out_features=["res2", "res3", "res4", "res5"],
)
_resize = L(T.ResizeShortestEdge)(short_edge_length=64, max_size=256)
dataloader = dict(
    train=L(build_detection_train_loader)(
        dataset=L(get_detection_dataset_dicts)(names="shapes_train"),
        mapper=L(DatasetMapper)(
            is_train=True,
            augmentations=[_resize],
            image_format="RGB",
            use_instance_mask=True,
            instance_mask_format="bitmask",
        ),
        total_batch_size=2,
    ),
    test=L(build_detection_test_loader)(
        dataset=L(get_detection_dataset_dicts)(names="shapes_val", filter_empty=False),
        mapper=L(DatasetMapper)(is_train=False, augmentations=[_resize], image_format="RGB"),
    ),
    evaluator=L(COCOEvaluator)(dataset_name="${..test.dataset.names}"),
)
train = dict(
    output_dir="./output",
    init_checkpoint="",
    max_iter=2,
    amp=dict(enabled=False),
    ddp=dict(broadcast_buffers=False, find_unused_parameters=False, fp16_compression=False),
    checkpointer=dict(period=1, max_to_keep=100),
    eval_period=0,
    log_period=20,
    device="cpu",
    seed=3,
)
'''


def small_overrides(output: Path | str) -> list[str]:
    """Overrides under which the demo's data and schedule take seconds."""
    return [
        f"train.output_dir={output}",
        "train.device=cpu",
        "train.max_iter=2",
        "dataloader.train.total_batch_size=2",
        "dataloader.train.mapper.augmentations.0.short_edge_length=[64]",
        "dataloader.test.mapper.augmentations.0.short_edge_length=64",
        "lr_multiplier.warmup_length=1.0",
        "consistency.score_thresh=0.0",
    ]
