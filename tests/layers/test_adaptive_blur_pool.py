import copy
import math

import numpy as np
import pytest
import torch
from torchvision.ops import deform_conv2d

from aa_detectron.errors import InvalidOption
from aa_detectron.layers import (
    AdaptiveBlurPool2d,
    BlurPool2d,
    adaptive_blur_pool2d,
    binomial_kernel,
    softmax_filters,
)
from aa_detectron.layers.adaptive_blur_pool import ADAPTIVITIES

SIZES = [(8, 8), (7, 9), (1, 1), (1, 5), (3, 2)]


def randomised(layer, seed=0):
    """Every weight and statistic of the predictor drawn anew: none is at its start any more."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in layer.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator)
            value.copy_(noise.abs() + 0.5 if "running_var" in name else noise)
    return layer


def reference(x, layer):
    """The layer written out in float64 NumPy: pad, predict everywhere, filter, then subsample."""
    weight = layer.predictor.weight.detach().double().numpy()
    logits_count, _, k, _ = weight.shape
    groups, pad = logits_count // k**2, k // 2
    x = x.double().numpy()
    n, c, h, w = x.shape
    for axis, size in ((2, h), (3, w)):
        widths = [(0, 0)] * 4
        widths[axis] = (pad, pad)
        x = np.pad(x, widths, mode="reflect" if size > pad else "edge")
    norm = layer.predictor.norm
    out = np.zeros((n, c, h, w))
    for b in range(n):
        for p in range(h):
            for q in range(w):
                window = x[b, :, p : p + k, q : q + k]
                logits = np.array([(weight[o] * window).sum() for o in range(logits_count)])
                if norm is not None:
                    mean, var, scale, shift = (
                        v.detach().double().numpy()
                        for v in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
                    )
                    logits = (logits - mean) / np.sqrt(var + norm.eps) * scale + shift
                logits = np.exp(logits + layer.offset.double().numpy().ravel())
                filters = logits.reshape(groups, k, k)
                if layer.softmax == "all":
                    filters = filters / filters.sum()
                else:
                    filters = filters / filters.sum((1, 2), keepdims=True)
                for channel in range(c):
                    group = channel // (c // groups)
                    out[b, channel, p, q] = (filters[group] * window[channel]).sum()
    return out[:, :, :: layer.stride, :: layer.stride]


@pytest.mark.parametrize("softmax", ["group", "all"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize("kernel_size", [3, 5, 7])
def test_equals_the_reference(kernel_size, groups, stride, softmax):
    for seed, size in enumerate(SIZES):
        layer = AdaptiveBlurPool2d(8, kernel_size, stride, groups, softmax=softmax)
        layer = randomised(layer, seed).eval()
        with torch.no_grad():
            layer.predictor.weight *= 0.1  # logits of a sensible size
            x = torch.randn(2, 8, *size, generator=torch.Generator().manual_seed(seed))
            error = np.abs(layer(x).numpy() - reference(x, layer)).max()
        assert error <= 1e-5, (size, error)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("k, groups", [(3, 1), (3, 4), (5, 2), (7, 8)])
def test_equals_deform_conv_without_offsets(k, groups, stride):
    """torchvision's modulated deformable conv computes the same sum, filters being its mask."""
    x = torch.randn(2, 8, 9, 10)
    h, w = math.ceil(9 / stride), math.ceil(10 / stride)
    filters = torch.randn(2, groups, k * k, h, w)
    expected = deform_conv2d(
        torch.nn.functional.pad(x, (k // 2,) * 4, mode="reflect"),
        offset=torch.zeros(2, 2 * groups * k * k, h, w),
        weight=torch.ones(8, 1, k, k),
        stride=stride,
        mask=filters.flatten(1, 2),
    )
    torch.testing.assert_close(adaptive_blur_pool2d(x, filters, stride), expected)


@pytest.mark.parametrize("space", [(4, 3), (1, 1)])
@pytest.mark.parametrize("padding_mode", ["reflect", "replicate", "zeros"])
def test_gradcheck(space, padding_mode):
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(2, 2, 9, *space, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(adaptive_blur_pool2d, (x, filters, 2, padding_mode))


@pytest.mark.parametrize("adaptivity", ADAPTIVITIES)
def test_gradcheck_of_the_layer(adaptivity):
    layer = randomised(AdaptiveBlurPool2d(4, groups=2, adaptivity=adaptivity)).double().eval()
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_gradient_with_channels_last():
    x, filters = torch.randn(2, 8, 6, 6), torch.randn(2, 4, 9, 3, 3)
    grads = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        a = x.clone(memory_format=memory_format).requires_grad_()
        adaptive_blur_pool2d(a, filters).square().sum().backward()
        grads.append(a.grad)
    torch.testing.assert_close(*grads)


def test_saves_no_unfolded_map():
    """Saved for the gradient: input and filters, neither a padded map nor k * k * C."""
    saved = []
    x = torch.randn(1, 64, 16, 16, requires_grad=True)
    filters = torch.randn(1, 8, 9, 8, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        adaptive_blur_pool2d(x, filters)
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in saved}
    assert sum(storages.values()) == 4 * (64 * 16 * 16 + 8 * 9 * 8 * 8)


@pytest.mark.parametrize("adaptivity", ADAPTIVITIES)
@pytest.mark.parametrize("norm", ["BN", "FrozenBN", "GN", ""])
@pytest.mark.parametrize("k", [3, 5])
def test_starts_as_the_binomial_blur(k, norm, adaptivity):
    layer = AdaptiveBlurPool2d(16, k, adaptivity=adaptivity, norm=norm)
    x = torch.randn(2, 16, 12, 11)
    torch.testing.assert_close(layer(x), BlurPool2d(16, k)(x))


@pytest.mark.parametrize("norm", ["BN", "FrozenBN", "GN", ""])
def test_leaves_the_start(norm):
    """The start at zero is not a dead point: after one step the filters depend on the input."""
    torch.manual_seed(0)
    layer = AdaptiveBlurPool2d(16, groups=4, norm=norm)
    x = torch.randn(2, 16, 8, 8)
    for _ in range(2):
        (layer(x) - x[..., ::2, ::2]).square().mean().backward()
        with torch.no_grad():
            for p in layer.parameters():
                p -= 10 * p.grad
    filters = layer.eval().predict_filters(x)
    assert filters.std(dim=(0, 3, 4)).min() > 1e-5
    assert layer.predictor.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("init", ["binomial", "kaiming"])
@pytest.mark.parametrize("norm", ["BN", "GN", ""])
def test_every_parameter_has_a_gradient(norm, init):
    layer = randomised(AdaptiveBlurPool2d(16, groups=4, norm=norm, init=init))
    layer(torch.randn(2, 16, 8, 8)).square().sum().backward()
    for name, p in layer.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name


@pytest.mark.parametrize("adaptivity", ADAPTIVITIES)
def test_constant_unchanged_and_weights_sum_to_one(adaptivity):
    layer = randomised(AdaptiveBlurPool2d(16, adaptivity=adaptivity, init="kaiming"))
    x = torch.randn(2, 16, 8, 9)
    filters = layer.predict_filters(x)
    expected_groups = 8 if "channel" in adaptivity else 1
    expected_space = (4, 5) if "spatial" in adaptivity else (1, 1)
    assert filters.shape == (2, expected_groups, 9, *expected_space)
    torch.testing.assert_close(filters.sum(2), torch.ones_like(filters[:, :, 0]))
    constant = torch.full_like(x, -2.5)
    torch.testing.assert_close(layer(constant), constant[..., ::2, ::2])


def test_softmax_over_all_groups():
    filters = softmax_filters(torch.randn(1, 36, 2, 2), groups=4, axis="all")
    torch.testing.assert_close(filters.sum((1, 2)), torch.ones(1, 2, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("axis", ["group", "all"])
def test_softmax_of_low_precision_is_in_float32(axis, dtype):
    logits = torch.randn(1, 36, 2, 2).to(dtype)
    filters = softmax_filters(logits, groups=4, axis=axis)
    assert filters.dtype == torch.float32
    assert torch.equal(filters, softmax_filters(logits.float(), groups=4, axis=axis))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_map_is_summed_in_float32(dtype):
    """Output and gradient are those of float32, rounded once; a constant passes unchanged."""
    layer = randomised(AdaptiveBlurPool2d(8, 5, groups=2)).eval()
    x = torch.randn(2, 8, 13, 12).to(dtype)
    filters = layer.predict_filters(x.float()).detach()
    maps = [x.clone().requires_grad_(), x.float().requires_grad_()]
    outputs = [adaptive_blur_pool2d(m, filters) for m in maps]
    for output in outputs:
        output.sum().backward()
    assert outputs[0].dtype == maps[0].grad.dtype == dtype
    half_a_unit = {"rtol": 0.505 * torch.finfo(dtype).eps, "atol": 1e-6}
    torch.testing.assert_close(outputs[0].float(), outputs[1], **half_a_unit)
    torch.testing.assert_close(maps[0].grad.float(), maps[1].grad, **half_a_unit)
    constant = adaptive_blur_pool2d(torch.full_like(x, 1.25), filters)
    assert torch.equal(constant, torch.full_like(constant, 1.25))


def test_impulse_gives_the_predicted_filter():
    filters = torch.randn(1, 1, 9, 5, 5)
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1
    y = adaptive_blur_pool2d(x, filters, stride=1)
    for tap in range(9):  # location (2, 2) is tap (i, j) of the filter at (3 - i, 3 - j)
        i, j = divmod(tap, 3)
        assert y[0, 0, 3 - i, 3 - j] == filters[0, 0, tap, 3 - i, 3 - j]


def test_strided_equals_subsampled():
    strided = randomised(AdaptiveBlurPool2d(8, stride=2, groups=2)).eval()
    dense = AdaptiveBlurPool2d(8, stride=1, groups=2).eval()
    dense.load_state_dict(strided.state_dict())
    x = torch.randn(2, 8, 9, 12)
    torch.testing.assert_close(strided(x), dense(x)[..., ::2, ::2])


def test_shift_by_the_stride_shifts_the_output():
    layer = randomised(AdaptiveBlurPool2d(8, groups=2)).eval()
    x = torch.randn(1, 8, 20, 20)
    torch.testing.assert_close(layer(x)[..., 2:-1, 2:-1], layer(x.roll(2, -1))[..., 2:-1, 3:])


def test_autocast_keeps_the_softmax_in_float32():
    layer = randomised(AdaptiveBlurPool2d(16)).eval()
    x = torch.randn(1, 16, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.predict_filters(x).dtype == torch.float32
        y = layer(x.bfloat16())
    assert y.dtype == torch.bfloat16


def test_autocast_does_not_round_the_start():
    layer = AdaptiveBlurPool2d(16).eval()
    with torch.autocast("cpu", torch.bfloat16):
        filters = layer.predict_filters(torch.randn(1, 16, 8, 8))
    expected = binomial_kernel(3).view(1, 1, 9, 1, 1).expand_as(filters)
    torch.testing.assert_close(filters, expected, rtol=1e-6, atol=0)


def test_empty_batch():
    assert AdaptiveBlurPool2d(16).eval()(torch.zeros(0, 16, 8, 8)).shape == (0, 16, 4, 4)


@pytest.mark.parametrize(
    "kwargs, option",
    [
        ({"kernel_size": 4}, "kernel_size"),
        ({"kernel_size": 1}, "kernel_size"),
        ({"stride": 0}, "stride"),
        ({"groups": 3}, "groups"),
        ({"groups": 0}, "groups"),
        ({"adaptivity": "time"}, "adaptivity"),
        ({"softmax": "channel"}, "softmax"),
        ({"norm": "LN"}, "norm"),
        ({"init": "zero"}, "init"),
        ({"padding_mode": "same"}, "padding_mode"),
    ],
)
def test_illegal(kwargs, option):
    with pytest.raises(InvalidOption, match=f"^{option} is "):
        AdaptiveBlurPool2d(16, **kwargs)


@pytest.mark.parametrize("training", [True, False])
def test_compiles_to_one_graph(training):
    layer = randomised(AdaptiveBlurPool2d(8, groups=2)).train(training)
    compiled = torch.compile(copy.deepcopy(layer), backend="aot_eager", fullgraph=True)
    results = []
    for module in (layer, compiled):
        x = torch.randn(2, 8, 9, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
        y = module(x)
        y.square().sum().backward()
        results.append((y.detach(), x.grad, *(p.grad for p in module.parameters())))
    torch.testing.assert_close(*results)
