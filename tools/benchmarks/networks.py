"""The networks of the benchmarks, which differ only in ``MODEL.ANTIALIAS``."""

from pathlib import Path

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_backbone, build_model
from detectron2.structures import BitMasks, Boxes, Instances
from torch import nn

from aa_detectron import add_aa_config

CONFIGS = Path(__file__).parents[2] / "configs" / "COCO-InstanceSegmentation"
KINDS = {
    "plain": ("plain", []),
    "blur": ("blur", []),
    "adaptive": ("adaptive", []),
    "blurred stem": ("adaptive", ["MODEL.ANTIALIAS.NAME", "blur,adaptive,adaptive,adaptive"]),
    "predictor groups": ("adaptive", ["MODEL.ANTIALIAS.PREDICTOR_GROUPS", 8]),
}
"""{name: (suffix of the config file, options)}; the last two are variants of "adaptive"."""


def get_config(kind: str, device: str, depth: int = 50) -> CfgNode:
    """Config of Mask R-CNN with R-<depth>-FPN for COCO, with random weights."""
    cfg = get_cfg()
    add_aa_config(cfg)
    suffix, options = KINDS[kind]
    cfg.merge_from_file(str(CONFIGS / f"mask_rcnn_R_{depth}_FPN_1x_{suffix}.yaml"))
    cfg.merge_from_list(options)
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.DEVICE = device
    return cfg


def build_fpn(kind: str, device: str) -> nn.Module:
    """The backbone: (N, 3, H, W) to the feature maps p2 to p6."""
    torch.manual_seed(0)
    return build_backbone(get_config(kind, device)).to(device)


def build_detector(kind: str, device: str) -> nn.Module:
    torch.manual_seed(0)
    return build_model(get_config(kind, device))


def make_inputs(images: int, height: int, width: int, objects: int = 8) -> list[dict]:
    """Random images with random rectangles as instances."""
    return [_make_input(height, width, objects) for _ in range(images)]


def _make_input(height: int, width: int, objects: int) -> dict:
    corners = torch.rand(objects, 2) * torch.tensor([width / 2, height / 2])
    sizes = torch.rand(objects, 2) * torch.tensor([width / 2, height / 2]) * 0.9 + 8
    boxes = torch.cat([corners, corners + sizes], 1).round()
    masks = torch.zeros(objects, height, width, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    instances = Instances((height, width))
    instances.gt_boxes = Boxes(boxes)
    instances.gt_classes = torch.randint(80, (objects,))
    instances.gt_masks = BitMasks(masks)
    image = torch.randint(256, (3, height, width), dtype=torch.uint8)
    return {"image": image, "height": height, "width": width, "instances": instances}
