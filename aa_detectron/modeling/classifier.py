"""Image classification, the first system of Zou et al. (BMVC 2020), as a meta-architecture."""

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.structures import ImageList
from torch import Tensor, nn

from aa_detectron.errors import InvalidOption


@META_ARCH_REGISTRY.register()
class AAImageClassifier(nn.Module):
    """A backbone that ends in "linear", and cross entropy.

    Args:
        backbone: maps (N, 3, H, W) to {"linear": (N, classes)}.
        pixel_mean, pixel_std: of the three channels, in the units of the input.
        label_smoothing: share, 0 to 1, of the target that goes to all classes alike.
    """

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
    def from_config(cls, cfg: CfgNode):
        features = cfg.MODEL.RESNETS.OUT_FEATURES
        # Detectron2 leaves out the stages behind the last one that is named.
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
        """Loss or logits.

        Args:
            batched_inputs: with "image", (3, H, W), all of one size; in training with
                "category_id".

        Returns:
            {"loss_cls": scalar} in training, else [{"logits": (classes,)}, ...].
        """
        images = [item["image"].to(self.device) for item in batched_inputs]
        images = [(image - self.pixel_mean) / self.pixel_std for image in images]
        logits = self.backbone(ImageList.from_tensors(images).tensor)["linear"]
        if not self.training:
            return [{"logits": row} for row in logits]
        targets = [item["category_id"] for item in batched_inputs]
        targets = torch.tensor(targets, device=self.device)
        loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        return {"loss_cls": loss}
