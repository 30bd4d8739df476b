"""Image classification as a meta-architecture, the first system of Zou et al. (BMVC 2020)."""

from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.structures import ImageList
from torch import Tensor, nn

from aa_detectron.config import check_has_keys
from aa_detectron.errors import InvalidOption


@META_ARCH_REGISTRY.register()
class AAImageClassifier(nn.Module):
    """A backbone that ends in "linear", with the cross entropy as its loss.

    Args:
        backbone: module that maps (N, 3, H, W) to {"linear": logits (N, classes)}.
        pixel_mean: mean of the three channels, in the units of the input.
        pixel_std: standard deviation of the three channels, in the units of the input.
        label_smoothing: fraction of the target, from 0 to below 1, that is spread evenly over all
            classes.

    Raises:
        InvalidOption: ``label_smoothing`` is out of this range.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: nn.Module,
        pixel_mean: list[float],
        pixel_std: list[float],
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise InvalidOption("label_smoothing", label_smoothing, "from 0 to below 1")
        self.backbone = backbone
        self.label_smoothing = label_smoothing
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        check_has_keys(cfg)
        features = cfg.MODEL.RESNETS.OUT_FEATURES
        # Detectron2 leaves out the stages after the last one that is named.
        if "linear" not in features or (len(features) > 1 and "res5" not in features):
            legal = '["linear"], or with others "linear" and "res5", for AAImageClassifier'
            raise InvalidOption("MODEL.RESNETS.OUT_FEATURES", features, legal)
        return {
            "backbone": build_backbone(cfg),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "label_smoothing": cfg.MODEL.CLASSIFIER.LABEL_SMOOTHING,
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict]:
        """Computes the loss or the logits.

        Args:
            batched_inputs: images, one dict each, with "image", (3, H, W), of one size in the
                whole batch; in training also with "category_id", 0 to classes - 1.

        Returns:
            {"loss_cls": scalar} in training, else [{"logits": (classes,)}, ...].
        """
        images = [item["image"].to(self.device) for item in batched_inputs]
        images = [(image - self.pixel_mean) / self.pixel_std for image in images]
        logits = self.backbone(ImageList.from_tensors(images).tensor)["linear"]
        if not self.training:
            return [{"logits": row} for row in logits]
        classes = [item["category_id"] for item in batched_inputs]
        targets = torch.tensor(classes, device=self.device)
        loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        return {"loss_cls": loss}
