"""Random ResNets of other libraries; Zhang's and Zou's written from method and names alone."""

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Blur(nn.Module):
    """Zhang's filter of stride 2: binomial taps in a buffer "filt"."""

    def __init__(self, channels, size):
        super().__init__()
        row = functools.reduce(np.convolve, [np.array([1.0, 1.0])] * (size - 1), np.ones(1))
        taps = torch.tensor(np.outer(row, row) / row.sum() ** 2, dtype=torch.float32)
        self.register_buffer("filt", taps.repeat(channels, 1, 1, 1))

    def forward(self, x):
        size = self.filt.shape[-1]
        before, after = (size - 1) // 2, size // 2
        x = F.pad(x, (before, after, before, after), mode="reflect")
        return F.conv2d(x, self.filt, stride=2, groups=x.shape[1])


class Adaptive(nn.Module):
    """Zou's filter of stride 2: predicted everywhere, softmax over all groups and taps."""

    def __init__(self, channels, size, groups):
        super().__init__()
        self.size, self.groups = size, groups
        self.conv = nn.Conv2d(channels, groups * size**2, size, bias=False)
        self.bn = nn.BatchNorm2d(groups * size**2)

    def forward(self, x):
        n, c, height, width = x.shape
        padded = F.pad(x, [self.size // 2] * 4, mode="reflect")
        filters = self.bn(self.conv(padded)).softmax(1)
        filters = filters.view(n, self.groups, 1, self.size**2, height * width)
        patches = F.unfold(padded, self.size)  # channel-major, then row-major taps
        patches = patches.view(n, self.groups, c // self.groups, self.size**2, height * width)
        return (patches * filters).sum(3).view(n, c, height, width)[..., ::2, ::2]


class Block(nn.Module):
    """Basic or bottleneck; a strided one has filters first in its last conv and its shortcut."""

    def __init__(self, inputs, width, outputs, make_filter):
        super().__init__()
        conv = functools.partial(nn.Conv2d, bias=False)
        bottleneck = width != outputs
        sizes = (1, 3, 1) if bottleneck else (3, 3)
        channels = [inputs, *[width] * (len(sizes) - 1), outputs]
        self.last = len(sizes)
        for number, size in enumerate(sizes, start=1):
            layer = conv(channels[number - 1], channels[number], size, padding=size // 2)
            if make_filter and number == self.last:
                layer = nn.Sequential(make_filter(channels[number - 1]), layer)
            self.add_module(f"conv{number}", layer)
            self.add_module(f"bn{number}", nn.BatchNorm2d(channels[number]))
        self.downsample = nn.Identity()
        if make_filter or inputs != outputs:
            first = [make_filter(inputs)] if make_filter else []
            shortcut = [conv(inputs, outputs, 1), nn.BatchNorm2d(outputs)]
            self.downsample = nn.Sequential(*first, *shortcut)

    def forward(self, x):
        out = x
        for number in range(1, self.last + 1):
            out = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(out))
            if number < self.last:
                out = out.relu()
        return (out + self.downsample(x)).relu()


class FilteredResNet(nn.Module):
    """ResNet-18 (expansion 1) or -50 (expansion 4), narrow, with filters as published."""

    def __init__(self, make_filter, expansion, width=16, classes=7):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Sequential(nn.MaxPool2d(2, stride=1), make_filter(width))
        blocks = {1: (2, 2, 2, 2), 4: (3, 4, 6, 3)}[expansion]
        inputs = width
        for stage, number in enumerate(blocks):
            layer = []
            for index in range(number):
                filters = make_filter if stage and not index else None
                outputs = expansion * width << stage
                layer.append(Block(inputs, width << stage, outputs, filters))
                inputs = outputs
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layer))
        self.relu = nn.ReLU()
        self.fc = nn.Linear(inputs, classes)


def zhang(expansion, size, **options):
    make_filter = functools.partial(Blur, size=size)
    return randomise(FilteredResNet(make_filter, expansion, **options))


def zou(expansion, size, groups, **options):
    make_filter = functools.partial(Adaptive, size=size, groups=groups)
    return randomise(FilteredResNet(make_filter, expansion, **options))


def detection_names(network):
    """The weights as maskrcnn-benchmark's modules would have them, whose norms are frozen."""
    body = nn.Module()
    body.resnet = nn.Module()
    body.resnet.stem = nn.Module()
    body.resnet.stem.conv1, body.resnet.stem.bn1 = network.conv1, network.bn1
    body.resnet.stem.downsample = network.maxpool[1]
    for number in (1, 2, 3, 4):
        body.resnet.add_module(f"layer{number}", getattr(network, f"layer{number}"))
    return {k: v for k, v in body.state_dict().items() if not k.endswith("num_batches_tracked")}


def randomise(network):
    """Weights and statistics that no mistake leaves alone, for evaluation."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


@torch.no_grad()
def features(network, x):
    """{"stem", "res2", ... "res5", "linear"} of a network with torchvision's modules."""
    act = getattr(network, "act1", None) or network.relu
    x = network.maxpool(act(network.bn1(network.conv1(x))))
    found = {"stem": x}
    for number in (1, 2, 3, 4):
        found[f"res{number + 1}"] = x = getattr(network, f"layer{number}")(x)
    found["linear"] = network.fc(x.mean(dim=(2, 3)))
    return found
