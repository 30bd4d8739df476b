"""Where a filter goes behind a conv, against the outputs of a network that is written out."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from timm.layers import pool2d_same as same
from torch import nn

from aa_detectron import antialias
from aa_detectron.errors import InputError
from aa_detectron.layers import BlurPool2d
from aa_detectron.layers.max_pool import MaxPool2d

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


def test_channels_of_a_point_conv_that_already_has_a_filter_before_it():
    """The filter of the first conv is before the second, whose own filter follows it."""
    network = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), Function(), nn.Conv2d(12, 20, 1, 2))
    plain = network(IMAGE).shape
    report = antialias(network, groups=4)
    assert [(place.filter_name, place.channels) for place in report.filtered] == [
        ("2.aa_input", 12),
        ("2.aa", 20),
    ]
    assert network(IMAGE).shape == plain


class Function(nn.Module):
    def forward(self, x):
        return F.relu(x)


@pytest.mark.parametrize("kernel, padding", [(1, 1), (1, (0, 1)), (3, 0)])
def test_size_of_a_padded_point_conv(kernel, padding):
    network = nn.Sequential(nn.Conv2d(8, 4, kernel, 2, padding))
    plain = [network(torch.rand(1, 8, size, size + 1)).shape for size in (8, 9)]
    (place,) = antialias(network).filtered
    assert (place.filter_name, place.channels) == ("0.aa", 4)
    assert [network(torch.rand(1, 8, size, size + 1)).shape for size in (8, 9)] == plain


def test_conv_without_padding_by_name():
    (place,) = antialias(nn.Sequential(nn.Conv2d(8, 4, 1, 2, "valid")), "blur").filtered
    assert place.filter_name == "0.aa_input"


class Keywords(Net):
    """Calls the layers by keyword; the second conv is the only reader of the activation."""

    def __init__(self):
        super().__init__()
        self.point, self.pool = nn.Conv2d(8, 8, 1, 2), nn.MaxPool2d(2)

    def forward(self, x):
        return self.point(input=self.pool(input=x))

    def expected(self, x):
        return F.conv2d(BLUR(BLUR(F.max_pool2d(x, 2, 1))), self.point.weight, self.point.bias)


def test_keywords():
    network = Keywords()
    by_hand = copy.deepcopy(network)
    antialias(network, "blur", example=IMAGE, places=["p*"])
    torch.testing.assert_close(network(IMAGE), by_hand.expected(IMAGE))


class Remembering(Net):
    """Keeps its inputs, in attributes of every kind."""

    def __init__(self):
        super().__init__()
        self.calls, self.inputs, self.by_name, self.step = 0, [], {}, None

    def forward(self, x):
        self.calls += 1
        self.step = self.last = self.by_name["x"] = x
        self.inputs.append(x)
        return self.act(self.norm(self.conv(x)))


def test_tracing_leaves_nothing():
    network, seen = nn.Sequential(Remembering()), []
    handle = network[0].register_forward_hook(lambda module, args, output: seen.append(output))
    inputs = network[0].inputs
    antialias(network, "blur")
    state = vars(network[0])
    assert (state["calls"], state["inputs"], state["by_name"], state["step"]) == (0, [], {}, None)
    assert "last" not in state and not seen and network[0].inputs is inputs
    network(IMAGE)
    assert len(seen) == len(inputs) == 1 and network[0].calls == 1
    handle.remove()
    pickle.dumps(network)


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


class Unusual(Net):
    """Everything else that downsamples, and layers that only look like it."""

    def __init__(self):
        super().__init__()
        self.unshuffle, self.half = nn.PixelUnshuffle(2), nn.Upsample(scale_factor=0.5)
        self.fractional = nn.FractionalMaxPool2d(2, output_ratio=0.5)
        self.cube, self.line = nn.Conv3d(8, 8, 3, 2), nn.Conv1d(8, 8, (3,), 2)
        self.unfold, self.fold = nn.Unfold(2, stride=2), nn.Fold(4, 2, stride=2)
        self.up, self.double = nn.ConvTranspose2d(8, 8, 2, 2), nn.Upsample(scale_factor=2)
        self.unpool = nn.MaxUnpool2d(2)

    def forward(self, x):
        return self.next(self.conv(x))


def test_layers_without_a_rule():
    assert notes(Unusual()) == {
        "conv": ("Conv2d 3x3, stride 2", "behind the conv"),
        **{
            name: (layer, "left alone: no rule for this layer")
            for name, layer in {
                "unshuffle": "PixelUnshuffle",
                "half": "Upsample",
                "fractional": "FractionalMaxPool2d",
                "cube": "Conv3d 3x3x3, stride 2",
                "line": "Conv1d 3, stride 2",
                "unfold": "Unfold 2x2, stride 2",
            }.items()
        },
    }


FUNCTIONS = {
    "conv2d(...)": lambda x: F.conv2d(x, torch.ones(8, 8, 1, 1), None, 2),
    "interpolate(...)": lambda x: F.interpolate(x, scale_factor=0.5),
    "pixel_unshuffle(...)": lambda x: F.pixel_unshuffle(x, 2),
    "max_pool2d(...)": lambda x: F.max_pool2d(x, 2),
    "slice with a step": lambda x: x[..., ::2],
}
HARMLESS = {
    "conv2d": lambda x: F.conv2d(x, torch.ones(8, 8, 1, 1), stride=1),
    "interpolate": lambda x: F.interpolate(x, None, 2.0),
    "size": lambda x: F.interpolate(x, (4, 4)),
    "slice": lambda x: x[..., 1:],
}


class Calling(Net):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(self.conv(x))


@pytest.mark.parametrize("name", [*FUNCTIONS, *HARMLESS])
def test_functions(name):
    network = Calling((FUNCTIONS | HARMLESS)[name])
    left_alone = antialias(network, "blur").left_alone
    assert [place.layer for place in left_alone] == ([name] if name in FUNCTIONS else [])


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


def test_max_pool_of_stride_1_is_fast():
    network = nn.Sequential(nn.MaxPool2d(3, 2, 1))
    antialias(network, "blur", example=IMAGE)
    assert type(network[0]) is MaxPool2d
    assert torch.equal(network(IMAGE), BlurPool2d(8)(F.max_pool2d(IMAGE, 3, 1, 1)))


def test_pool_with_dilation():
    plain = nn.MaxPool2d(3, 2, 1, dilation=2, ceil_mode=True)
    network = nn.Sequential(copy.deepcopy(plain))
    antialias(network, "blur", example=IMAGE)
    for size in range(5, 16):
        x = torch.rand(1, 8, size, 9)
        assert network(x).shape == plain(x).shape


@pytest.mark.parametrize(
    "layer, ceil_mode",
    [(same.MaxPool2dSame, False), (same.AvgPool2dSame, False), (same.AvgPool2dSame, True)],
)
def test_pools_that_pad_for_their_stride(layer, ceil_mode):
    plain = layer(3, 2, ceil_mode=ceil_mode)
    network = nn.Sequential(copy.deepcopy(plain))
    antialias(network, "blur", example=IMAGE)
    for size in range(4, 9):
        x = torch.rand(1, 8, size, 20 - size)
        assert network(x).shape == plain(x).shape, x.shape


class SharedPool(nn.Module):
    """One pool for maps of several widths, as in a U-Net."""

    def __init__(self):
        super().__init__()
        self.conv, self.next, self.pool = nn.Conv2d(8, 6, 3), nn.Conv2d(6, 16, 3), nn.MaxPool2d(2)
        self.last = nn.Conv2d(16, 16, 3, 2, 1)

    def forward(self, x):
        return self.last(self.pool(self.next(self.pool(self.conv(x)))))


@pytest.mark.parametrize("filter", ["adaptive", "blur", "gaussian", "flc"])
def test_shared_pool(filter):
    network = SharedPool()
    plain = network(IMAGE).shape
    report = antialias(network, filter)
    if filter == "adaptive":
        (left_alone,) = report.left_alone
        assert left_alone.note == (
            "left alone: called on maps of 6 and 16 channels; one filter cannot serve them"
        )
        assert network.pool.stride == 2 and not network.pool._forward_hooks
    else:
        assert not report.left_alone
    assert network(IMAGE).shape == plain


def test_pool_that_returns_a_single_pixel():
    network = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.AvgPool2d(11))
    report = antialias(network, example=IMAGE[..., :21])
    assert [place.name for place in report.filtered] == ["0"]
    assert report.left_alone[0].note == "left alone: returns a single pixel"
    assert network(IMAGE[..., :21]).shape == (1, 8, 1, 1)


def test_default_example_for_a_grouped_conv():
    network = nn.Sequential(nn.Conv2d(8, 16, 3, groups=4), nn.MaxPool2d(2))
    (place,) = antialias(network).filtered
    assert (place.name, place.channels) == ("1", 16)


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


class NormAct(nn.Sequential):
    """A chain whose name is that of a norm."""

    def __init__(self):
        super().__init__(nn.BatchNorm2d(8), nn.ReLU())


def test_sequential_with_the_name_of_a_norm():
    torch.manual_seed(0)
    conv, point = nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 4, 1)
    network = nn.Sequential(conv, NormAct(), point).eval()
    dense = copy.deepcopy(conv)
    dense.stride = (1, 1)
    expected = point(BLUR(F.relu(network[1][0](dense(IMAGE)))))
    report = antialias(network, "blur")
    assert [place.filter_name for place in report.filtered] == ["1.1.aa"]
    torch.testing.assert_close(network(IMAGE), expected)


def test_activation_that_halves_the_channels():
    network = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.InstanceNorm2d(16), nn.GLU(1))
    plain = copy.deepcopy(network)
    report = antialias(network, "adaptive")
    assert [place.filter_name for place in report.filtered] == ["1.aa"]
    assert network(IMAGE).shape == plain(IMAGE).shape


class PartialConv2d(nn.Conv2d):
    def forward(self, x):
        return super().forward(x), torch.ones(1)


def test_conv_that_returns_a_tuple():
    network = nn.Sequential(PartialConv2d(8, 8, 3, 2, 1))
    antialias(network, "blur")
    message = "a layer PartialConv2d with a filter returns a tuple, not one feature map; leave it"
    with pytest.raises(InputError, match=message):
        network(IMAGE)


@pytest.mark.parametrize("stem", [False, True])
def test_strided_point_conv_that_reads_the_image(stem):
    network = nn.Sequential(nn.Conv2d(3, 8, 1, 2), nn.Conv2d(8, 8, 1, 2))
    report = antialias(network, "blur", stem=stem)
    assert [place.name for place in report.filtered] == (["0", "1"] if stem else ["1"])


def test_hook_of_the_user_sees_the_output_of_the_plain_size():
    network, seen = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()), []
    network[1].register_forward_hook(lambda module, args, output: seen.append(output.shape))
    antialias(network, "blur")
    assert seen == []
    assert network(IMAGE).shape == seen[0]
