"""Filters behind convs of networks whose modes differ, whose parts are shared or not called."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aa_detectron import antialias
from aa_detectron.layers import BlurPool2d

IMAGE = torch.rand(2, 8, 21, 24, generator=torch.Generator().manual_seed(0)) - 0.5
BLUR = BlurPool2d(8)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.act = nn.Conv2d(8, 8, 3, 2, 1), nn.InstanceNorm2d(8), nn.ReLU()
        self.head, self.aux = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, 1, 1)


class HeadForTraining(Net):
    """Reads the output of a function in train mode only."""

    filters = {"conv": "norm.aa"}

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        return self.head(x) + self.head(x) if self.training else self.head(x)

    def expected(self, x):
        x = F.relu(BLUR(self.norm(self.conv(x))))
        return self.head(x) + self.head(x) if self.training else self.head(x)


class ActivationInEval(Net):
    filters = {"conv": "norm.aa"}

    def forward(self, x):
        x = self.norm(self.conv(x))
        return x if self.training else self.act(x)

    def expected(self, x):
        x = BLUR(self.norm(self.conv(x)))
        return x if self.training else self.act(x)


class ConvForTraining(Net):
    """The other mode reads the same map without the conv, whose own chain is the same."""

    filters = {"conv": "norm.aa", "aux": "act.aa"}

    def __init__(self):
        super().__init__()
        self.aux.stride = (2, 2)

    def forward(self, x):
        x = self.norm(self.conv(x))
        return self.act(self.aux(x)) if self.training else self.head(x)

    def expected(self, x):
        x = BLUR(self.norm(self.conv(x)))
        return BLUR(self.act(self.aux(x))) if self.training else self.head(x)


class OneActivationForBoth(Net):
    """Each mode calls the activation once, but only one of them behind a strided conv."""

    filters = {"aux": "aux.aa"}

    def __init__(self):
        super().__init__()
        self.conv.stride, self.aux.stride = (1, 1), (2, 2)

    def forward(self, x):
        return self.act(self.aux(x)) if self.training else self.act(self.head(x))

    def expected(self, x):
        return self.act(BLUR(self.aux(x))) if self.training else self.act(self.head(x))


class NotTracedInTraining(Net):
    """Nothing is known about the uses of the map in train mode."""

    filters = {"conv": "conv.aa"}

    def forward(self, x):
        x = self.norm(self.conv(x))
        return x if self.training and x.sum() > -1e9 else self.act(x)

    def expected(self, x):
        x = self.norm(BLUR(self.conv(x)))
        return x if self.training else self.act(x)


MODES = [
    *(HeadForTraining, ActivationInEval, ConvForTraining, OneActivationForBoth),
    NotTracedInTraining,
]


def convs_without_stride(network):
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    return network


def filters(report):
    return {place.name: place.filter_name for place in report.filtered}


@pytest.mark.parametrize("make", MODES)
@pytest.mark.parametrize("training", [False, True])
def test_both_modes(make, training):
    """The mode at the call does not matter."""
    network = make().train(training)
    by_hand = convs_without_stride(network)
    assert filters(antialias(network, "blur")) == make.filters
    for mode in (True, False):
        outputs = network.train(mode)(IMAGE), by_hand.train(mode).expected(IMAGE)
        torch.testing.assert_close(*outputs)


def test_functions_in_both_modes():
    """A function is listed as often as the mode that calls it most."""

    class Functions(Net):
        def forward(self, x):
            x = F.avg_pool2d(self.head(F.max_pool2d(self.conv(x), 2)), 2)
            return F.max_pool2d(F.max_pool2d(x, 1, 2), 1, 2) if self.training else x

    left_alone = antialias(Functions(), "blur").left_alone
    functions = [place.layer for place in left_alone if place.note == "left alone: not a module"]
    assert functions == ["max_pool2d(...)", "avg_pool2d(...)", *["max_pool2d(...)"] * 2]


USES = {
    "_conv_forward": lambda conv, x: conv._conv_forward(x, conv.weight * 1, conv.bias),  # loralib
    "forward": lambda conv, x: conv.forward(x),
    "conv2d": lambda conv, x: F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding),
}


class Bypass(Net):
    """Uses a conv without a call, which would run no hook, in one mode or in both."""

    def __init__(self, use, modes, kernel_size):
        super().__init__()
        self.use, self.modes, self.aux.stride = use, modes, (2, 2)
        self.conv = nn.Conv2d(8, 8, kernel_size, 2, kernel_size // 2)

    def forward(self, x):
        x = self.use(self.conv, x) if self.training in self.modes else self.conv(x)
        return self.aux(x)


class NotTraced(nn.Sequential):
    def forward(self, x):
        return super().forward(x) if x.sum() > -1e9 else x


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("modes", [(False, True), (False,), (True,)])
@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("parent", [nn.Sequential, NotTraced])
def test_conv_that_is_not_called(use, modes, kernel_size, parent):
    network = parent(Bypass(USES[use], modes, kernel_size))
    plain = network(IMAGE).shape
    report = antialias(network, "blur")
    assert filters(report) == {"0.aux": "0.aux.aa"}
    (note,) = {place.note for place in report.left_alone if place.name == "0.conv"}
    assert note == "left alone: not called as a module"
    assert [network.train(mode)(IMAGE).shape for mode in (True, False)] == [plain] * 2


class Unused(Net):
    def __init__(self):
        super().__init__()
        self.aux.stride = (2, 2)

    def forward(self, x):
        return self.conv(x)


@pytest.mark.parametrize("parent, note", [
    (nn.Sequential, "left alone: not called as a module"),
    (NotTraced, "behind the conv, since its model cannot be traced"),
])  # fmt: skip
def test_conv_without_a_use(parent, note):
    """Code that cannot be traced may call it."""
    report = antialias(parent(Unused()), "blur")
    assert {place.note for place in report.places if place.name == "0.aux"} == {note}


def test_weight_that_is_read_beside_a_call():
    """As for the dtype of an input."""

    class Reads(Net):
        def forward(self, x):
            return self.act(self.norm(self.conv(x.to(self.conv.weight.dtype))))

    assert filters(antialias(Reads(), "blur")) == {"conv": "act.aa"}


class Block(Net):
    def forward(self, x):
        return self.head(self.act(self.norm(self.conv(x))))


class Sharing(nn.Module):
    """Cannot be traced, and calls modules of its block by itself."""

    def __init__(self, names):
        super().__init__()
        self.block = Block()
        self.shared = nn.ModuleList(getattr(self.block, name) for name in names)

    def forward(self, x):
        assert x.shape[-1] % 2 == 0
        for layer in self.shared:
            x = layer(x)
        return self.block(x)


@pytest.mark.parametrize("names, place", [
    ([], "act.aa"), (["act"], "head.aa_input"), (["act", "head"], "norm.aa"), (["norm"], "act.aa"),
    (["conv"], "conv.aa"), (["norm", "act", "head"], "conv.aa"),
])  # fmt: skip
def test_modules_that_are_shared_with_code_that_is_not_traced(names, place):
    network = Sharing(names)
    by_hand = convs_without_stride(network)
    assert filters(antialias(network, "blur"))["block.conv"] == f"block.{place}"
    name, _, kind = place.partition(".")
    host = getattr(by_hand.block, name)
    if kind == "aa":
        host.register_forward_hook(lambda module, args, output: BLUR(output))
    else:
        host.register_forward_pre_hook(lambda module, args: BLUR(*args))
    torch.testing.assert_close(network(IMAGE), by_hand(IMAGE))
