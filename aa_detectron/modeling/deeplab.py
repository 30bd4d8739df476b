"""The head of DeepLab v3+ (Chen et al., ECCV 2018) for Detectron2's ``SemanticSegmentor``."""

from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import ASPP, Conv2d, DepthwiseSeparableConv2d, ShapeSpec, get_norm
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from fvcore.nn.weight_init import c2_xavier_fill
from torch import Tensor, nn

from aa_detectron.config import check_has_keys
from aa_detectron.errors import InvalidOption, check_choice
from aa_detectron.layers.norm import Norm


@SEM_SEG_HEADS_REGISTRY.register()
class AADeepLabV3PlusHead(nn.Module):
    """ASPP on the coarsest feature map, then a decoder that adds the finer feature maps.

    Unlike the head of Detectron2's DeepLab project, this head accepts images of any size. Its
    weights have the same names.

    Args:
        input_shape: channels and stride of each feature map, by name; two feature maps or more.
        num_classes: number of classes, which is the number of channels of the logits.
        project_channels: number of channels that are kept of each feature map except the
            coarsest, the finest first.
        decoder_channels: number of channels of the decoder after each of these feature maps.
        aspp_channels: number of channels of ASPP.
        aspp_dilations: three dilations of ASPP.
        aspp_dropout: dropout probability in ASPP, 0 to 1.
        common_stride: stride of the finest feature map; the logits are enlarged by it.
        norm: norm after every conv, as in ``detectron2.layers.get_norm``.
        loss_type: "cross_entropy" or "hard_pixel_mining".
        loss_weight: factor of the loss.
        ignore_value: label of the pixels that are left out of the loss.
        use_depthwise_separable_conv: whether the convs of ASPP and the decoder are depthwise
            separable.

    Raises:
        InvalidOption: ``loss_type`` is unknown, ``common_stride`` is not the stride of the finest
            feature map, or a list has another length.
    """

    @configurable
    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        num_classes: int,
        project_channels: list[int],
        decoder_channels: list[int],
        aspp_channels: int,
        aspp_dilations: list[int],
        aspp_dropout: float,
        common_stride: int,
        norm: Norm,
        loss_type: str = "hard_pixel_mining",
        loss_weight: float = 1.0,
        ignore_value: int = 255,
        use_depthwise_separable_conv: bool = False,
    ):
        super().__init__()
        check_choice("loss_type", loss_type, tuple(LOSSES))
        *fine, coarse = sorted(input_shape, key=lambda name: input_shape[name].stride)
        if not fine or len(project_channels) != len(fine):
            legal = f"a list of {len(fine)}, one for each of {', '.join(fine) or 'no feature'}"
            raise InvalidOption("project_channels", project_channels, legal)
        if len(aspp_dilations) != 3:
            raise InvalidOption("aspp_dilations", aspp_dilations, "a list of 3")
        finest = input_shape[fine[0]].stride
        if common_stride != finest:
            raise InvalidOption(
                "common_stride", common_stride, f"{finest}, the stride of {fine[0]}"
            )
        self.in_features = [*fine, coarse]
        self.common_stride = common_stride
        self.loss_type = loss_type
        self.loss_weight = loss_weight
        self.ignore_value = ignore_value

        aspp = ASPP(
            input_shape[coarse].channels,
            aspp_channels,
            aspp_dilations,
            norm=norm,
            activation=F.relu,
            dropout=aspp_dropout,
            use_depthwise_separable_conv=use_depthwise_separable_conv,
        )
        self.decoder = nn.ModuleDict({coarse: nn.ModuleDict({"project_conv": aspp})})
        fuse = _separable_fuse_conv if use_depthwise_separable_conv else _fuse_conv
        channels = aspp_channels
        levels = list(zip(fine, project_channels, decoder_channels, strict=True))
        for name, projected, decoded in reversed(levels):
            stage = {
                "project_conv": _conv(input_shape[name].channels, projected, 1, norm),
                "fuse_conv": fuse(projected + channels, decoded, norm),
            }
            self.decoder[name] = nn.ModuleDict(stage)
            channels = decoded
        self.predictor = Conv2d(channels, num_classes, kernel_size=1)
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.predictor.bias)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        check_has_keys(cfg)
        head = cfg.MODEL.SEM_SEG_HEAD
        features = {name: input_shape[name] for name in head.IN_FEATURES}
        low_level = sorted(features, key=lambda name: features[name].stride)[:-1]
        if list(head.PROJECT_FEATURES) != low_level:
            legal = f"{low_level}, MODEL.SEM_SEG_HEAD.IN_FEATURES without the coarsest"
            raise InvalidOption("MODEL.SEM_SEG_HEAD.PROJECT_FEATURES", head.PROJECT_FEATURES, legal)
        return {
            "input_shape": features,
            "num_classes": head.NUM_CLASSES,
            "project_channels": head.PROJECT_CHANNELS,
            "decoder_channels": [head.CONVS_DIM] * len(low_level),
            "aspp_channels": head.ASPP_CHANNELS,
            "aspp_dilations": head.ASPP_DILATIONS,
            "aspp_dropout": head.ASPP_DROPOUT,
            "common_stride": head.COMMON_STRIDE,
            "norm": head.NORM,
            "loss_type": head.LOSS_TYPE,
            "loss_weight": head.LOSS_WEIGHT,
            "ignore_value": head.IGNORE_VALUE,
            "use_depthwise_separable_conv": head.USE_DEPTHWISE_SEPARABLE_CONV,
        }

    def forward(
        self, features: dict[str, Tensor], targets: Tensor | None = None
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Computes the loss or the logits, as ``SemanticSegmentor`` expects them.

        Args:
            features: feature maps by name, (N, C, ceil(H / stride), ceil(W / stride)) each.
            targets: labels, (N, H, W), 0 to num_classes - 1 or ``ignore_value``; needed in
                training.

        Returns:
            (None, {"loss_sem_seg": scalar}) in training, else (logits, {}). The logits are
            (N, num_classes, H', W') with H <= H' < H + stride: their last rows and columns may
            lie outside the image.
        """
        logits = F.interpolate(
            self.predictor(self.layers(features)),
            scale_factor=self.common_stride,
            mode="bilinear",
            align_corners=False,
        )
        if not self.training:
            return logits, {}
        assert targets is not None  # SemanticSegmentor passes them in training
        logits = logits[..., : targets.shape[-2], : targets.shape[-1]]
        loss = LOSSES[self.loss_type](logits, targets, self.ignore_value)
        return None, {"loss_sem_seg": loss * self.loss_weight}

    def layers(self, features: dict[str, Tensor]) -> Tensor:
        """Computes the decoder's last feature map, in the size of the finest one.

        Args:
            features: feature maps by name, (N, C, ceil(H / stride), ceil(W / stride)) each.

        Returns:
            Feature map, (N, C', ceil(H / s), ceil(W / s)) with s the smallest stride.
        """
        *fine, coarse = self.in_features
        x = self._convs(coarse, "project_conv")(features[coarse])
        for name in reversed(fine):
            low_level = self._convs(name, "project_conv")(features[name])
            x = F.interpolate(x, size=low_level.shape[-2:], mode="bilinear", align_corners=False)
            x = self._convs(name, "fuse_conv")(torch.cat((low_level, x), dim=1))
        return x

    def _convs(self, feature: str, name: str) -> nn.Module:
        return self.decoder[feature].get_submodule(name)


def labeled_cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
    """Mean cross entropy of the labeled pixels; 0 if no pixel is labeled (torch returns NaN).

    Args:
        logits: logits, (N, C, H, W).
        targets: labels, (N, H, W), 0 to C - 1 or ``ignore_index``.
        ignore_index: label of the pixels that are left out of the mean.

    Returns:
        Loss, a scalar.
    """
    total = F.cross_entropy(logits, targets, ignore_index=ignore_index, reduction="sum")
    return total / (targets != ignore_index).sum().clamp(min=1)


def hard_pixel_cross_entropy(
    logits: Tensor, targets: Tensor, ignore_index: int, fraction: float = 0.2
) -> Tensor:
    """Mean cross entropy of the pixels where it is highest (Yang et al., DeeperLab, 2019).

    Args:
        logits: logits, (N, C, H, W).
        targets: labels, (N, H, W), 0 to C - 1 or ``ignore_index``.
        ignore_index: label of the pixels whose loss is 0.
        fraction: fraction of all pixels, including the ignored ones, that enter the mean; above 0,
            at most 1.

    Returns:
        Loss, a scalar.
    """
    losses = F.cross_entropy(logits, targets, ignore_index=ignore_index, reduction="none")
    return losses.flatten().topk(max(1, int(fraction * losses.numel()))).values.mean()


LOSSES = {
    "cross_entropy": labeled_cross_entropy,
    "hard_pixel_mining": hard_pixel_cross_entropy,
}


def _conv(in_channels: int, out_channels: int, kernel_size: int, norm: Norm) -> Conv2d:
    conv = Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        padding=kernel_size // 2,
        bias=not norm,
        norm=get_norm(norm, out_channels),
        activation=F.relu,
    )
    c2_xavier_fill(conv)
    return conv


def _fuse_conv(in_channels: int, out_channels: int, norm: Norm) -> nn.Module:
    return nn.Sequential(
        _conv(in_channels, out_channels, 3, norm), _conv(out_channels, out_channels, 3, norm)
    )


def _separable_fuse_conv(in_channels: int, out_channels: int, norm: Norm) -> nn.Module:
    """A 5x5 conv: it reaches as far as two 3x3 convs, and costs less when it is separable."""
    return DepthwiseSeparableConv2d(
        in_channels,
        out_channels,
        kernel_size=5,
        padding=2,
        norm1=norm,
        activation1=F.relu,
        norm2=norm,
        activation2=F.relu,
    )
