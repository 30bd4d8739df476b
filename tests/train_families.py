"""Trains one config of each family for two iterations: ``train_families.py FOLDER PROCESSES``.

Everything is as small as the configs allow: images of 64 x 64, few channels, random weights. All of
them learn from Shapes, since the classes of their own data make no difference here.
"""

import argparse
import sys
from pathlib import Path

CONFIGS = Path(__file__).parents[1] / "configs"
FAMILIES = {
    "Shapes-InstanceSegmentation/demo_adaptive": "instances",
    "Shapes-SemanticSegmentation/deeplab_v3_plus_adaptive": "sem_seg",
    "Shapes-Classification/resnet_R_18_adaptive": "classification",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_adaptive": "instances",
    "COCO-Detection/retinanet_R_50_FPN_1x_adaptive": "instances",
    "VOC-SemanticSegmentation/deeplab_v3_plus_R_50_os16_adaptive": "sem_seg",
    "Cityscapes-SemanticSegmentation/deeplab_v3_plus_R_50_os16_blur": "sem_seg",
    "ImageNet-Classification/resnet_R_50_adaptive": "classification",
    "Nuclei-InstanceSegmentation/mask_rcnn_R_18_FPN_adaptive": "instances",
    "CamVid-SemanticSegmentation/deeplab_v3_plus_R_18_os16_adaptive": "sem_seg",
    "CIFAR10-Classification/resnet_R_18_adaptive": "classification",
}
"""By config: the task, which is also in the name of the dataset."""
COMMON = [
    "DATASETS.TEST", "()",
    "DATALOADER.NUM_WORKERS", "0",
    "MODEL.DEVICE", "cpu",
    "MODEL.WEIGHTS", "",
    "MODEL.RESNETS.STEM_OUT_CHANNELS", "8",
    "MODEL.RESNETS.RES2_OUT_CHANNELS", "8",
    "SEED", "1",
    "SOLVER.IMS_PER_BATCH", "4",
    "SOLVER.MAX_ITER", "2",
    "TEST.CONSISTENCY.ENABLED", "False",
]  # fmt: skip
SIZES = [
    "INPUT.MIN_SIZE_TRAIN",
    "(64,)",
    "INPUT.MIN_SIZE_TEST",
    "64",
    "INPUT.CROP.SIZE",
    "(48, 48)",
]
TASKS = {
    "instances": [
        *SIZES,
        "DATASETS.TRAIN", "('shapes_train',)",
        "INPUT.MASK_FORMAT", "bitmask",
        "MODEL.FPN.OUT_CHANNELS", "16",
        "MODEL.RETINANET.NUM_CLASSES", "6",
        "MODEL.RETINANET.NUM_CONVS", "1",
        "MODEL.ROI_HEADS.NUM_CLASSES", "6",
        "MODEL.ROI_BOX_HEAD.FC_DIM", "16",
        "MODEL.ROI_MASK_HEAD.CONV_DIM", "8",
    ],
    "sem_seg": [
        *SIZES,
        "DATASETS.TRAIN", "('shapes_sem_seg_train',)",
        "MODEL.RESNETS.NORM", "BN",  # SyncBN needs a GPU
        "MODEL.ANTIALIAS.NORM", "BN",
        "MODEL.SEM_SEG_HEAD.NORM", "BN",
        "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "7",
        "MODEL.SEM_SEG_HEAD.IGNORE_VALUE", "255",
        "MODEL.SEM_SEG_HEAD.ASPP_CHANNELS", "16",
        "MODEL.SEM_SEG_HEAD.CONVS_DIM", "16",
    ],
    "classification": [
        "DATASETS.TRAIN", "('shapes_classification_train',)",
        "MODEL.CLASSIFIER.NUM_CLASSES", "6",
        "INPUT.CLASSIFIER.TRAIN_SIZE", "48",
    ],
}  # fmt: skip


def train(folder: str) -> None:
    """Trains all families, one after the other, each in a folder named like its config."""
    from aa_detectron.engine.launch import main

    for name, task in FAMILIES.items():
        bottleneck = ["MODEL.RESNETS.WIDTH_PER_GROUP", "8"] if "R_50" in name else []
        output = ["OUTPUT_DIR", str(Path(folder, name))]
        main(
            argparse.Namespace(
                config_file=str(CONFIGS / f"{name}.yaml"),
                opts=[*COMMON, *TASKS[task], *bottleneck, *output],
                eval_only=False,
                resume=False,
            )
        )


if __name__ == "__main__":
    from detectron2.engine import launch

    launch(train, int(sys.argv[2]), dist_url="auto", args=(sys.argv[1],))
