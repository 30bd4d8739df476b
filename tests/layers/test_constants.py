"""Filters on the meta device, and in other places than the CPU's float32."""

import copy
import io

import pytest
import torch
from torch import nn

from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d, GaussianBlurPool2d

FILTERS = {
    "blur": lambda **kwargs: BlurPool2d(16, 5, **kwargs),
    "adaptive": lambda **kwargs: AdaptiveBlurPool2d(16, groups=4, **kwargs),
    "gaussian": lambda **kwargs: GaussianBlurPool2d(16, 5, **kwargs),
    "smooth": lambda **kwargs: AdaptiveBlurPool2d(16, predictor_smooth=True, **kwargs),
    "kaiming": lambda **kwargs: AdaptiveBlurPool2d(16, init="kaiming", **kwargs),
}
make_filter = pytest.mark.parametrize("make_filter", FILTERS.values(), ids=FILTERS)


def constants(layer):
    return dict(layer.named_buffers()).keys() - layer.state_dict().keys()


def on_the_meta_device(make_filter):
    with torch.device("meta"):
        return nn.Sequential(make_filter())


def loaded_after_to_empty(make_filter, state):
    layer = on_the_meta_device(make_filter).to_empty(device="cpu")
    layer.load_state_dict(state)
    return layer


def assigned(make_filter, state):
    layer = on_the_meta_device(make_filter)
    layer.load_state_dict(state, assign=True)
    return layer


def assigned_and_moved(make_filter, state):
    return assigned(make_filter, state).to("cpu").double().float()


def moved_to_the_meta_device_and_back(make_filter, state):
    layer = nn.Sequential(make_filter()).to("meta")
    layer.load_state_dict(state, assign=True)
    return layer


@make_filter
@pytest.mark.parametrize(
    "load",
    [loaded_after_to_empty, assigned, assigned_and_moved, moved_to_the_meta_device_and_back],
)
def test_built_on_the_meta_device(make_filter, load):
    original = nn.Sequential(make_filter()).eval()
    junk = [torch.full((n,), 7.0) for n in (9, 25, 36, 72)]  # what freed memory holds
    del junk
    layer = load(make_filter, original.state_dict()).eval()
    x = torch.randn(2, 16, 9, 8)
    assert torch.equal(layer(x), original(x))


@make_filter
def test_shapes_on_the_meta_device(make_filter):
    layer = on_the_meta_device(make_filter)
    assert layer(torch.empty(2, 16, 9, 8, device="meta")).shape == (2, 16, 5, 4)


@make_filter
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_assigned_weights_of_another_dtype(make_filter, dtype):
    original = nn.Sequential(make_filter()).to(dtype).eval()
    layer = assigned(make_filter, original.state_dict()).eval()
    x = torch.randn(2, 16, 9, 8, dtype=dtype)
    torch.testing.assert_close(layer(x), original(x))


@make_filter
def test_device_and_dtype_as_in_torch(make_filter):
    layer = make_filter(device="cpu", dtype=torch.float64)
    floats = [t for t in (*layer.parameters(), *layer.buffers()) if t.is_floating_point()]
    assert {t.dtype for t in floats} == {torch.float64}
    assert layer(torch.randn(1, 16, 8, 8, dtype=torch.float64)).dtype == torch.float64
    layer = make_filter(device="meta")
    assert all(parameter.is_meta for parameter in layer.parameters())


@make_filter
def test_conversions_do_not_round_for_good(make_filter):
    layer = make_filter()
    expected = {name: layer.get_buffer(name).clone() for name in constants(layer)}
    assert expected
    layer.half().float()
    assert all(torch.equal(layer.get_buffer(name), value) for name, value in expected.items())


@make_filter
def test_copies_and_pickles(make_filter):
    layer = make_filter().eval()
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    x = torch.randn(1, 16, 8, 8)
    for other in (copy.deepcopy(layer), torch.load(file, weights_only=False)):
        other.to_empty(device="cpu")
        other.load_state_dict(layer.state_dict())
        assert torch.equal(other(x), layer(x))
