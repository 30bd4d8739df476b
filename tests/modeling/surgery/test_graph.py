"""Where a filter goes behind a conv, against the outputs of a network that is written out."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aa_detectron import antialias
from aa_detectron.layers import BlurPool2d

IMAGE = torch.rand(1, 8, 21, 24, generator=torch.Generator().manual_seed(0)) - 0.5
BLUR = BlurPool2d(8)


class Net(nn.Module):
    """A strided conv, and everything that may follow it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(8, 8, 3, 2, 1)
        self.norm, self.act, self.act2 = nn.BatchNorm2d(8), nn.ReLU(), nn.ReLU()
        nn.init.uniform_(self.norm.bias, -1, 1)
        self.drop, self.next, self.other = nn.Dropout(), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.eval()


class Chain(Net):
    def forward(self, x):
        return self.next(self.act(self.norm(self.conv(x))))

    def expected(self, x):
        return self.next(BLUR(self.act(self.norm(self.conv(x)))))


class FunctionReadOnce(Net):
    def forward(self, x):
        return self.next(F.relu(self.norm(self.conv(x))))

    expected = Chain.expected


class FunctionReadTwice(Net):
    """The filter would see only one of the uses of the activation."""

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        return self.next(x) + self.other(x)

    def expected(self, x):
        x = F.relu(BLUR(self.norm(self.conv(x))))
        return self.next(x) + self.other(x)


class ModuleReadTwice(Net):
    def forward(self, x):
        x = self.act(self.norm(self.conv(x)))
        return self.next(x) + x

    def expected(self, x):
        x = BLUR(self.act(self.norm(self.conv(x))))
        return self.next(x) + x


class SharedActivation(Net):
    """The module is called at full resolution as well, so that the next conv has the filter."""

    def forward(self, x):
        return self.next(self.act(self.norm(self.conv(self.act(x)))))

    def expected(self, x):
        return self.next(BLUR(self.act(self.norm(self.conv(self.act(x))))))


class SharedActivationAndReader(Net):
    def forward(self, x):
        return self.next(self.act(self.norm(self.conv(self.next(self.act(x))))))

    def expected(self, x):
        return self.next(self.act(BLUR(self.norm(self.conv(self.next(self.act(x)))))))


class SharedConv(Net):
    def forward(self, x):
        return self.act(self.conv(self.conv(x)))

    def expected(self, x):
        return self.act(BLUR(self.conv(BLUR(self.conv(x)))))


class PassedOn(Net):
    """Dropout stands between norm and activation, as a block's shortcut may."""

    def forward(self, x):
        return self.act(self.drop(self.norm(self.conv(x))))

    def expected(self, x):
        return BLUR(self.act(self.norm(self.conv(x))))


class OneActivation(Net):
    def forward(self, x):
        return self.act2(self.act(self.conv(x)) - 1)

    def expected(self, x):
        return self.act2(BLUR(self.act(self.conv(x))) - 1)


class Residual(Net):
    """The sum is no part of the chain."""

    def forward(self, x):
        return self.act(self.norm(self.conv(x)) + x[..., :11, :12])

    def expected(self, x):
        return self.act(BLUR(self.norm(self.conv(x))) + x[..., :11, :12])


class ReadBeforeTheNorm(Net):
    def forward(self, x):
        x = self.conv(x)
        return self.act(self.norm(x)) + x

    def expected(self, x):
        x = BLUR(self.conv(x))
        return self.act(self.norm(x)) + x


class NotTraced(Net):
    def forward(self, x):
        return self.act(self.conv(x)) if x.sum() > -1e9 else x

    def expected(self, x):
        return self.act(BLUR(self.conv(x)))


class PartlyTraced(Net):
    def __init__(self):
        super().__init__()
        self.block = Chain()
        del self.conv

    def forward(self, x):
        return self.block(x) if x.sum() > -1e9 else x

    def expected(self, x):
        return self.block.expected(x)


CHAINS = [
    Chain, FunctionReadOnce, FunctionReadTwice, ModuleReadTwice, SharedActivation,
    SharedActivationAndReader, SharedConv, PassedOn, OneActivation, Residual, ReadBeforeTheNorm,
    NotTraced, PartlyTraced,
]  # fmt: skip


@pytest.mark.parametrize("network", CHAINS)
def test_behind_a_conv(network):
    network = network()
    by_hand = copy.deepcopy(network)
    for module in by_hand.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    plain = network(IMAGE)
    antialias(network, "blur")
    output = network(IMAGE)
    torch.testing.assert_close(output, by_hand.expected(IMAGE))
    assert output.shape == plain.shape


def notes(network):
    report = antialias(network, "blur")
    return {place.name: (place.layer, place.note) for place in report.places}


class Mixed(Net):
    """Layers without a rule beside a conv."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(8, 8, 3, (1, 2))
        self.indices = nn.MaxPool2d(2, return_indices=True)
        self.lp = nn.LPPool2d(2, 2)

    def forward(self, x):
        x = F.max_pool2d(self.conv(x), 2)
        return self.lp(self.indices(self.wide(x[:, :, ::2]))[0])


def test_what_is_left_alone():
    network = Mixed()
    plain = network(IMAGE.repeat(1, 1, 3, 3)).shape
    found = notes(network)
    assert found["wide"][1] == "left alone: a filter has one stride"
    assert found["indices"][1] == "left alone: returns indices of its input"
    assert found["lp"] == ("LPPool2d 2x2, stride 2", "left alone: no rule for this layer")
    functions = [layer for layer, note in found.values() if note == "left alone: not a module"]
    assert functions == ["slice with a step"]  # the last of the two in this module
    assert network(IMAGE.repeat(1, 1, 3, 3)).shape == plain


class DeformConv2d(nn.Conv2d):
    """Stands in for a deformable conv, whose offsets have its own output size."""

    def forward(self, x, offsets):
        x = super().forward(x)
        assert offsets.shape[2:] == x.shape[2:]
        return x


class Deformable(nn.Module):
    def __init__(self):
        super().__init__()
        self.offsets, self.deform = nn.Conv2d(8, 18, 3, 2, 1), DeformConv2d(8, 8, 3, 2, 1)
        self.last = nn.Conv2d(8, 8, 1, 2)

    def forward(self, x):
        return self.last(self.deform(x, self.offsets(x)))


def test_deformable_conv():
    network = Deformable()
    report = antialias(network, "blur")
    assert [place.name for place in report.filtered] == ["last"]
    assert network(IMAGE).shape == (1, 8, 6, 6)


@pytest.mark.parametrize("layer", [nn.MaxPool2d, nn.AvgPool2d])
@pytest.mark.parametrize("kernel, stride", [(2, 2), (3, 2), (3, 3), (2, 3), ((3, 2), 2), (1, 2)])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_sizes_of_pools(layer, kernel, stride, ceil_mode):
    for padding in (0, 1) if kernel == 3 else (0,):
        plain = layer(kernel, stride, padding, ceil_mode=ceil_mode)
        network = nn.Sequential(copy.deepcopy(plain))
        antialias(network, "blur", example=IMAGE)
        for size in range(4, 17):
            x = torch.rand(1, 8, size, 20 - size if size < 16 else 7)
            assert network(x).shape == plain(x).shape, (padding, x.shape)


def test_pool_with_dilation():
    plain = nn.MaxPool2d(3, 2, 1, dilation=2, ceil_mode=True)
    network = nn.Sequential(copy.deepcopy(plain))
    antialias(network, "blur", example=IMAGE)
    for size in range(5, 16):
        x = torch.rand(1, 8, size, 9)
        assert network(x).shape == plain(x).shape


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.first, self.second = nn.Conv2d(5, 7, 3), nn.MaxPool2d(2), nn.MaxPool2d(2)

    def forward(self, x, pool):
        x = self.conv(x)
        return self.first(x) if pool == "first" else self.second(x)


def test_example():
    network = Pooled()
    report = antialias(network, groups=7, example=(torch.rand(1, 5, 9, 9), "first"))
    assert [(place.name, place.channels) for place in report.filtered] == [("first", 7)]
    (left_alone,) = report.left_alone
    assert left_alone.note == "left alone: the model does not call it; give another example"
    assert network.training and network.second.stride == 2


def test_example_that_fails():
    network = nn.Sequential(nn.Conv2d(5, 6, 3, 2), nn.Linear(4, 4), nn.MaxPool2d(2))
    report = antialias(network, "blur")
    assert [place.name for place in report.filtered] == ["0"]
    assert "left alone: the example failed (mat1 and mat2" in report.left_alone[0].note
    assert not network[2]._forward_pre_hooks and network[2].stride == 2


class Silent(nn.Sequential):
    def forward(self, x):
        raise AssertionError  # without a message


def test_example_that_fails_without_a_message():
    report = antialias(Silent(nn.Conv2d(5, 6, 3, 2), nn.MaxPool2d(2)), "blur")
    assert report.left_alone[0].note == "left alone: the example failed (AssertionError)"
