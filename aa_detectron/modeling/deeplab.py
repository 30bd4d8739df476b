"""The head of DeepLab v3+ (Chen et al., ECCV 2018) for Detectron2's ``SemanticSegmentor``."""

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import ASPP, Conv2d, DepthwiseSeparableConv2d, ShapeSpec, get_norm
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from fvcore.nn.weight_init import c2_xavier_fill
from torch import Tensor, nn

from aa_detectron.errors import InvalidOption, check_choice


@SEM_SEG_HEADS_REGISTRY.register()
class AADeepLabV3PlusHead(nn.Module):
    """ASPP on the coarsest feature, then a decoder that adds the finer ones.

    Unlike the head of Detectron2's DeepLab project it takes images of any size. Its weights have
    the same names.

    Args:
        input_shape: the features, two or more.
        num_classes: channels of the logits.
        project_channels: channels kept of every feature but the coarsest, finest first.
        decoder_channels: channels of the decoder after each of these.
        aspp_channels, aspp_dilations, aspp_dropout: of ASPP; three dilations.
        common_stride: of the finest feature: the logits are enlarged by it.
        norm: after every conv, as in ``detectron2.layers.get_norm``.
        loss_type: "cross_entropy" or "hard_pixel_mining".
        loss_weight: factor of the loss.
        ignore_value: label of the pixels that are left out of the loss.
        use_depthwise_separable_conv: in ASPP and the decoder.

    Raises:
        InvalidOption: an unknown ``loss_type``, or lists of other lengths.
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
        norm,
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
            raise InvalidOption("common_stride", common_stride, f"{finest}, that of {fine[0]}")
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
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]):
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

    def forward(self, features: dict[str, Tensor], targets: Tensor | None = None):
        """Losses or logits, as ``SemanticSegmentor`` expects them.

        Args:
            features: (N, C, ceil(H / stride), ceil(W / stride)) each.
            targets: (N, H, W) labels, in training.

        Returns:
            (None, {"loss_sem_seg": scalar}) in training, else (logits, {}), whose last rows and
            columns may lie outside the image: (N, num_classes, H', W') with H <= H' < H + stride.
        """
        logits = F.interpolate(
            self.predictor(self.layers(features)),
            scale_factor=self.common_stride,
            mode="bilinear",
            align_corners=False,
        )
        if not self.training:
            return logits, {}
        logits = logits[..., : targets.shape[-2], : targets.shape[-1]]
        loss = LOSSES[self.loss_type](logits, targets, self.ignore_value)
        return None, {"loss_sem_seg": loss * self.loss_weight}

    def layers(self, features: dict[str, Tensor]) -> Tensor:
        """The decoder's last map, of the finest feature's size."""
        *fine, coarse = self.in_features
        x = self.decoder[coarse]["project_conv"](features[coarse])
        for name in reversed(fine):
            low_level = self.decoder[name]["project_conv"](features[name])
            x = F.interpolate(x, size=low_level.shape[-2:], mode="bilinear", align_corners=False)
            x = self.decoder[name]["fuse_conv"](torch.cat((low_level, x), dim=1))
        return x


def labelled_cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
    """Mean cross entropy of the labelled pixels; 0 where there is none, not NaN as in torch.

    Args:
        logits: (N, C, H, W).
        targets: (N, H, W), 0 to C - 1 or ``ignore_index``.
        ignore_index: label of pixels that count for nothing.
    """
    total = F.cross_entropy(logits, targets, ignore_index=ignore_index, reduction="sum")
    return total / (targets != ignore_index).sum().clamp(min=1)


def hard_pixel_cross_entropy(
    logits: Tensor, targets: Tensor, ignore_index: int, share: float = 0.2
) -> Tensor:
    """Mean cross entropy of the pixels where it is highest (Yang et al., DeeperLab, 2019).

    Args:
        logits, targets, ignore_index: as above; ignored pixels have loss 0.
        share: of all pixels, ignored ones among them, above 0 to 1.
    """
    losses = F.cross_entropy(logits, targets, ignore_index=ignore_index, reduction="none")
    return losses.flatten().topk(max(1, int(share * losses.numel()))).values.mean()


LOSSES = {
    "cross_entropy": labelled_cross_entropy,
    "hard_pixel_mining": hard_pixel_cross_entropy,
}


def _conv(in_channels: int, out_channels: int, kernel_size: int, norm) -> Conv2d:
    conv = Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        padding=kernel_size // 2,
        bias=norm == "",
        norm=get_norm(norm, out_channels),
        activation=F.relu,
    )
    c2_xavier_fill(conv)
    return conv


def _fuse_conv(in_channels: int, out_channels: int, norm) -> nn.Module:
    return nn.Sequential(
        _conv(in_channels, out_channels, 3, norm), _conv(out_channels, out_channels, 3, norm)
    )


def _separable_fuse_conv(in_channels: int, out_channels: int, norm) -> nn.Module:
    """One 5x5 has the reach of two 3x3 and costs less when it is separable."""
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
