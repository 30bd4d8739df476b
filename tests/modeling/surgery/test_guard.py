"""Filtered networks whose modules are converted, fused, wrapped or cut off afterwards."""

import copy
import pickle

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from timm.models import reparameterize_model
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.nn.utils.fusion import fuse_conv_bn_eval

from aa_detectron import antialias
from aa_detectron.errors import InputError

IMAGE = torch.rand(1, 8, 17, 20, generator=torch.Generator().manual_seed(0))


def conv_norm(kernel_size=3):
    norm = nn.BatchNorm2d(8)
    for values in (norm.running_mean, norm.weight, norm.bias):
        nn.init.uniform_(values)
    return nn.Sequential(nn.Conv2d(8, 8, kernel_size, 2, kernel_size // 2), norm)


def network():
    """A block whose norm is filtered, as in ShuffleNet, and whose last conv is."""
    torch.manual_seed(0)
    model = nn.Sequential(conv_norm(), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1, 2))
    return model.eval()


def filtered(model=None):
    model = model or network()
    report = antialias(model, init="kaiming")
    return model, [place.filter_name for place in report.filtered]


def test_converted_to_synchronized_norms():
    """The filter comes along, and the new norm applies it."""
    model, names = filtered()
    assert names == ["0.1.aa", "2.aa_input"]
    expected, weights = model(IMAGE), list(model.state_dict())
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert type(model[0][1]) is nn.SyncBatchNorm and list(model.state_dict()) == weights
    for _ in range(2):
        assert torch.equal(model(IMAGE), expected)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(IMAGE), expected)


@pytest.mark.parametrize("whole", [True, False])
def test_converted_to_frozen_norms(whole):
    """Also where only a part of the network is called, as in a copy."""
    model, _ = filtered()
    model = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    model = FrozenBatchNorm2d.convert_frozen_batchnorm(model)
    name = "0.1.aa" if whole else "1.aa"
    message = f"the filter {name} is lost: there is a module FrozenBatchNorm2d without it; convert"
    with pytest.raises(InputError, match=message):
        (model if whole else model[0])(IMAGE)


@pytest.mark.parametrize("filter", ["blur", "adaptive"])
def test_fused_by_fx(filter):
    model = network()
    antialias(model, filter)
    expected = model(IMAGE)
    torch.testing.assert_close(fuse(model)(IMAGE), expected)


class SharedNorm(nn.Module):
    """The filter is between conv and norm."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = conv_norm()
        self.last = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        return self.last(self.norm(self.conv(x)) + self.last(x)[..., :9, :10])


def test_filter_between_conv_and_norm_fused_by_fx():
    model = SharedNorm().eval()
    model.norm.aa = nn.Identity()  # an attribute of the user's own
    assert filtered(model)[1] == ["conv.aa"]
    torch.testing.assert_close(fuse(model)(IMAGE), model(IMAGE))


def test_host_classes():
    """They are pickled, copied and traced like the plain ones."""
    model, _ = filtered()
    norm = model[0][1]
    assert isinstance(norm, nn.BatchNorm2d) and norm.state_dict().keys() >= {
        "weight",
        "aa.predictor.weight",
    }
    copies = [
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.fx.symbolic_trace(model),
    ]
    for other in copies:
        assert type(other.get_submodule("0.1")) is type(norm)
        assert torch.equal(other(IMAGE), model(IMAGE))


class Fusing(nn.Module):
    """A block in the style of YOLO, whose norm has the filter since all blocks share one SiLU."""

    def __init__(self, act):
        super().__init__()
        self.conv, self.bn = conv_norm()
        self.act = act

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))

    def forward_fused(self, x):
        return self.act(self.conv(x))

    def fuse_block(self):
        self.conv = fuse_conv_bn_eval(self.conv, self.bn)
        del self.bn
        self.forward = self.forward_fused


def yolo(block=Fusing):
    act = nn.SiLU()
    return nn.Sequential(block(act), block(act)).eval()


def test_fused_in_place():
    model, names = filtered(yolo())
    assert names == ["1.conv.aa_input", "1.bn.aa"]
    model[1].fuse_block()
    with pytest.raises(InputError, match=r"the filter 1\.bn\.aa is lost: there is nothing"):
        model(IMAGE)
    with pytest.raises(InputError, match=r"the filter bn\.aa is lost: there is nothing"):
        model[1](IMAGE)


class RepVGG(Fusing):
    """The fusion builds another conv with the former conv's stride."""

    def forward(self, x):
        return self.act(self.reparam(x) if hasattr(self, "reparam") else self.bn(self.conv(x)))

    def reparameterize(self):
        self.reparam = fuse_conv_bn_eval(self.conv, self.bn)
        del self.conv, self.bn


def test_reparameterized():
    plain = yolo(RepVGG)
    torch.testing.assert_close(reparameterize_model(plain)(IMAGE), plain(IMAGE))
    for model in (filtered(plain)[0], copy.deepcopy(plain), pickle.loads(pickle.dumps(plain))):
        message = r"reparameterize would drop the filter 1\.bn\.aa; convert, fuse or rep"
        with pytest.raises(InputError, match=message):
            reparameterize_model(model)


class Merging(Fusing):
    """``fuse`` is a part of the network itself."""

    def forward(self, x):
        return self.fuse(self.bn(self.conv(x)), 2)

    def fuse(self, x, factor):
        return self.act(x) * factor


class MergingAny(Merging):
    def fuse(self, *maps):
        return self.act(sum(map(torch.as_tensor, maps)))


class MergingStatically(Merging):
    @staticmethod
    def fuse(x, factor=1):
        return x * factor

    @staticmethod
    def fuse_model():
        return None

    @classmethod
    def reparameterize(cls):
        return None


@pytest.mark.parametrize("block", [Merging, MergingAny, MergingStatically])
def test_method_that_merges_maps(block):
    model, _ = filtered(yolo(block))
    assert model(IMAGE).shape == (1, 8, 5, 5)


class Wrapper(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


class Transparent(Wrapper):
    """Has the attributes of the wrapped module, as PyTorch's wrappers for training have."""

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


def test_what_is_no_loss():
    """A wrapped host, a layer that was cut off, and a plain layer in place of a filtered one."""
    model, _ = filtered()
    expected = model(IMAGE)
    for wrapper in (Wrapper, Transparent):
        wrapped = copy.deepcopy(model)
        wrapped[0][1], wrapped[2] = wrapper(wrapped[0][1]), wrapper(wrapped[2])
        assert torch.equal(wrapped(IMAGE), expected)
        assert torch.equal(wrapper(wrapped)(IMAGE), expected)
    cut = copy.deepcopy(model)
    cut[2] = nn.Identity()
    cut[0] = nn.Identity()
    assert torch.equal(cut(IMAGE), model[1](IMAGE))
    replaced = copy.deepcopy(model)
    replaced[0], replaced[2] = conv_norm().eval(), nn.Conv2d(8, 8, 1, 2)
    assert replaced(IMAGE).shape == expected.shape


def test_replaced_conv_loses_the_filter_before_it():
    model, _ = filtered()
    model[2] = nn.Conv2d(8, 8, 1, stride=model[2].stride)
    with pytest.raises(InputError, match=r"the filter 2\.aa_input is lost: there is a mod"):
        model(IMAGE)


def test_network_of_a_single_conv():
    model = nn.Conv2d(8, 8, 3, 2, 1)
    plain = model(IMAGE).shape
    antialias(model, "blur")
    assert model(IMAGE).shape == plain
