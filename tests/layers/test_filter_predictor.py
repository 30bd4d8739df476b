"""Variants of the predictor: a grouped conv, a smoothed map, a conv of another size."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from aa_detectron.errors import InvalidOption
from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d
from aa_detectron.layers.adaptive_blur_pool import ADAPTIVITIES

VARIANTS = [
    {"predictor_groups": 2},
    {"predictor_groups": 4},
    {"predictor_smooth": True},
    {"predictor_kernel": 1},
    {"predictor_kernel": 5},
    {"predictor_groups": 2, "predictor_smooth": True, "predictor_kernel": 5},
]
variants = pytest.mark.parametrize("variant", VARIANTS, ids=str)


def randomized(layer, seed=0):
    """Draws all weights and statistics of the norms anew: the filters depend on the map."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in layer.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator) * 0.3
            value.copy_(noise.abs() + 0.5 if "running_var" in name else noise)
    return layer


def padded(x, pad):
    """Reflects both sides; a side that is too short is replicated."""
    for axis in (1, 2):
        widths = [(0, 0)] * 3
        widths[axis] = (pad, pad)
        x = np.pad(x, widths, mode="reflect" if x.shape[axis] > pad else "edge")
    return x


def smoothed(x):
    row = np.array([1, 2, 1]) / 4
    windows = np.lib.stride_tricks.sliding_window_view(padded(x, 1), (3, 3), (1, 2))
    return np.einsum("chwij,i,j->chw", windows, row, row)


def reference_filters(x, layer, groups, is_smooth):
    """All filters of one image at stride 1, (g, k * k, H, W): loops over pixels and logits."""
    weight = layer.predictor.weight.detach().double().numpy()
    logits_count, depth, side, _ = weight.shape
    _, h, w = x.shape
    seen = padded(smoothed(x) if is_smooth else x, side // 2)
    logits = np.zeros((logits_count, h, w))
    for o in range(logits_count):
        first = o // (logits_count // groups) * depth
        for p in range(h):
            for q in range(w):
                window = seen[first : first + depth, p : p + side, q : q + side]
                logits[o, p, q] = (weight[o] * window).sum()
    logits += layer.offset.double().numpy().reshape(-1, 1, 1)
    logits = np.exp(logits).reshape(layer.groups, -1, h, w)
    return logits / logits.sum(1, keepdims=True)


@variants
@pytest.mark.parametrize("size", [(6, 7), (1, 5), (1, 1)])
def test_equals_the_reference(size, variant):
    layer = randomized(AdaptiveBlurPool2d(8, 3, 1, groups=4, norm="", **variant))
    groups, side = variant.get("predictor_groups", 1), variant.get("predictor_kernel", 3)
    assert layer.predictor.weight.shape == (4 * 9, 8 // groups, side, side)
    x = torch.randn(8, *size)
    smooth = "predictor_smooth" in variant
    expected = reference_filters(x.double().numpy(), layer, groups, smooth)
    with torch.no_grad():
        filters = layer.predict_filters(x[None])[0]
    np.testing.assert_allclose(filters.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("norm", ["BN", "FrozenBN", "GN", ""])
@pytest.mark.parametrize("training", [True, False])
def test_groups_are_layers_of_their_own(training, norm):
    """Each group of channels is filtered as by a layer that sees no other channels."""
    whole = randomized(AdaptiveBlurPool2d(8, groups=4, norm=norm, predictor_groups=2))
    whole.train(training)
    x = torch.randn(2, 8, 9, 8)
    halves = []
    for part in range(2):
        half = AdaptiveBlurPool2d(4, groups=2, norm=norm).train(training)
        state = {
            name: value.chunk(2)[part] if value.dim() else value
            for name, value in whole.state_dict().items()
        }
        half.load_state_dict(state)
        halves.append(half(x[:, 4 * part : 4 * part + 4]))
    torch.testing.assert_close(whole(x), torch.cat(halves, dim=1))


def test_groups_divide_the_weights():
    sizes = [AdaptiveBlurPool2d(16, predictor_groups=g).predictor.weight.numel() for g in (1, 8)]
    assert sizes[0] == 8 * sizes[1]


def test_smoothing_the_map_smooths_the_logits():
    plain, smooth = (
        randomized(AdaptiveBlurPool2d(8, 3, 1, groups=2, norm="", predictor_smooth=is_smooth))
        for is_smooth in (False, True)
    )
    x = torch.randn(1, 8, 12, 11)
    logits = plain._logits(x).flatten(1, 2)
    expected = BlurPool2d(18, 3, 1)(logits)
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(smooth._logits(x).flatten(1, 2)[inside], expected[inside])


def test_the_filtered_map_is_not_smoothed():
    layer = AdaptiveBlurPool2d(8, 3, predictor_smooth=True)
    x = torch.randn(1, 8, 8, 8)
    torch.testing.assert_close(layer(x), BlurPool2d(8, 3)(x))


@variants
@pytest.mark.parametrize("adaptivity", ["spatial_channel", "channel"])
def test_gradcheck(adaptivity, variant):
    layer = randomized(AdaptiveBlurPool2d(4, groups=4, adaptivity=adaptivity, **variant))
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer.double().eval(), (x,))


@variants
def test_starts_as_the_binomial_blur_and_trains(variant):
    layer = AdaptiveBlurPool2d(8, groups=4, **variant)
    x = torch.randn(2, 8, 9, 8)
    torch.testing.assert_close(layer(x), BlurPool2d(8)(x))
    optimizer = torch.optim.SGD(layer.parameters(), 1.0)
    before = copy.deepcopy(layer.state_dict())
    for _ in range(2):
        optimizer.zero_grad()
        (layer(x) - x[..., ::2, ::2]).square().mean().backward()
        optimizer.step()
    for name, value in layer.named_parameters():
        assert not torch.equal(value, before[name]), name


@variants
def test_scripted_compiled_and_autocast(variant):
    layer = randomized(AdaptiveBlurPool2d(8, groups=4, **variant)).eval()
    x = torch.randn(2, 8, 9, 8)
    torch.testing.assert_close(torch.jit.script(copy.deepcopy(layer))(x), layer(x))
    compiled = torch.compile(copy.deepcopy(layer), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.predict_filters(x).dtype == torch.float32
        rounded = layer(x)
    # Only the conv of the predictor is in bfloat16, which has 8 bits.
    assert not torch.equal(rounded, expected)
    torch.testing.assert_close(rounded, expected, rtol=0, atol=2**-7 * x.abs().max().item())
    channels_last = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(layer(channels_last), layer(x))


@variants
def test_on_the_meta_device(variant):
    with torch.device("meta"):
        layer = AdaptiveBlurPool2d(8, groups=4, **variant)
        assert layer(torch.empty(2, 8, 9, 8)).shape == (2, 8, 5, 4)
    original = randomized(AdaptiveBlurPool2d(8, groups=4, **variant)).eval()
    layer = layer.to_empty(device="cpu").eval()
    layer.load_state_dict(original.state_dict())
    x = torch.randn(2, 8, 9, 8)
    torch.testing.assert_close(layer(x), original(x))


def test_defaults_are_as_without_variants():
    """The same weights are drawn, under the same names."""
    layers = []
    for variant in ({}, {"predictor_groups": 1, "predictor_smooth": False, "predictor_kernel": 3}):
        torch.manual_seed(0)
        layers.append(AdaptiveBlurPool2d(8, groups=4, init="kaiming", **variant))
    x = torch.randn(1, 8, 6, 6)
    assert torch.equal(*(layer(x) for layer in layers))
    assert [*layers[0].state_dict()] == [*AdaptiveBlurPool2d(8, predictor_smooth=True).state_dict()]
    assert isinstance(layers[0].smooth, nn.Identity)


@pytest.mark.parametrize("adaptivity", ADAPTIVITIES)
def test_groups_divide_the_filters(adaptivity):
    make = {"groups": 4, "adaptivity": adaptivity, "predictor_groups": 4}
    if "channel" in adaptivity:
        assert AdaptiveBlurPool2d(8, **make)(torch.randn(1, 8, 4, 4)).shape == (1, 8, 2, 2)
        return
    with pytest.raises(InvalidOption, match="^predictor_groups is 4, .*divisor of the 1 filters"):
        AdaptiveBlurPool2d(8, **make)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"predictor_groups": 0},
        {"predictor_groups": 3},
        {"predictor_groups": 16},
        {"predictor_kernel": 2},
        {"predictor_kernel": -1},
    ],
)
def test_illegal(kwargs):
    with pytest.raises(InvalidOption, match=f"^{next(iter(kwargs))} is "):
        AdaptiveBlurPool2d(16, **kwargs)
