"""The adaptive layer in its published form: filters at all locations, then subsamples."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PublishedAdaptiveBlurPool2d(nn.Module):
    """The layer as the paper (section 3) and docs/method.md describe it.

    It copies the whole feature map for every tap, and keeps one of stride ** 2 outputs.
    """

    def __init__(self, channels: int, kernel_size: int = 3, stride: int = 2, groups: int = 8):
        super().__init__()
        logits = groups * kernel_size**2
        self.kernel_size, self.stride, self.groups = kernel_size, stride, groups
        self.conv = nn.Conv2d(channels, logits, kernel_size, bias=False)
        self.bn = nn.BatchNorm2d(logits)

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        k, g = self.kernel_size, self.groups
        padded = F.pad(x, [k // 2] * 4, mode="reflect")
        filters = self.bn(self.conv(padded)).softmax(1)
        filters = filters.reshape(n, g, 1, k * k, height * width)
        taps = F.unfold(padded, k).reshape(n, g, channels // g, k * k, height * width)
        filtered = torch.sum(taps * filters, dim=3).reshape(x.shape)
        return filtered[:, :, :: self.stride, :: self.stride]
