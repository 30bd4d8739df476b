import copy
import math

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from torch import nn

from aa_detectron import add_aa_config
from aa_detectron.errors import InvalidOption
from aa_detectron.layers import (
    LOWPASS_REGISTRY,
    AdaptiveBlurPool2d,
    BlurPool2d,
    FilterOptions,
    FrequencyPool2d,
    GaussianBlurPool2d,
    build_lowpass,
)
from aa_detectron.layers.build import KINDS
from aa_detectron.layers.registry import lowpass_names


def config(**options):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.MODEL.ANTIALIAS.update(options)
    return cfg


def test_by_name():
    blur = build_lowpass(config(NAME="blur", KERNEL_SIZE=4, PADDING_MODE="zeros"), 16, 2)
    assert isinstance(blur, BlurPool2d)
    assert (blur.kernel.shape, blur.stride, blur.padding_mode) == ((4, 4), 2, "zeros")


def test_every_option_arrives():
    cfg = config(
        KERNEL_SIZE=5,
        GROUPS=4,
        ADAPTIVITY="channel",
        SOFTMAX="all",
        NORM="GN",
        INIT="kaiming",
        PADDING_MODE="replicate",
        PREDICTOR_GROUPS=2,
        PREDICTOR_SMOOTH=True,
        PREDICTOR_KERNEL=1,
    )
    layer = build_lowpass(cfg, 16, 1)
    assert isinstance(layer, AdaptiveBlurPool2d)
    assert (layer.kernel_size, layer.stride, layer.groups) == (5, 1, 4)
    assert (layer.per_location, layer.softmax, layer.padding_mode) == (False, "all", "replicate")
    assert isinstance(layer.predictor.norm, nn.GroupNorm)
    assert not layer.offset.any()
    assert layer.predictor.weight.shape == (100, 8, 1, 1)
    assert isinstance(layer.smooth, BlurPool2d) and layer.smooth.padding_mode == "replicate"


def test_peers_by_name():
    cfg = config(KERNEL_SIZE=5, SIGMA=2.5, PADDING_MODE="zeros")
    layers = {name: build_lowpass(cfg, 16, 1, name=name) for name in KINDS}
    gaussian, wavelet = layers["gaussian"], layers["wavelet"]
    assert isinstance(gaussian, GaussianBlurPool2d)
    assert (gaussian.kernel.shape, gaussian.sigma) == ((5, 5), 2.5)
    assert isinstance(wavelet, BlurPool2d) and wavelet.kernel.shape == (2, 2)
    assert gaussian.padding_mode == wavelet.padding_mode == "zeros"
    for name, window in (("flc", "none"), ("asap", "hamming")):
        assert isinstance(layers[name], FrequencyPool2d) and layers[name].window == window
    assert all(layer.stride == 1 for layer in layers.values())


def test_pasa_is_the_published_adaptive_filter():
    """Whatever the config says of the two options that are fixed by the name."""
    layers = []
    for options in ({"NAME": "pasa", "SOFTMAX": "group"}, {"SOFTMAX": "all", "INIT": "kaiming"}):
        torch.manual_seed(0)
        layers.append(build_lowpass(config(GROUPS=4, KERNEL_SIZE=5, **options), 16, 2))
    x = torch.randn(2, 16, 9, 8)
    assert torch.equal(*(layer(x) for layer in layers))
    assert layers[0].softmax == "all" and not layers[0].offset.any()


@pytest.mark.parametrize("size", range(1, 14))
def test_wavelet_is_the_low_band_of_haar(size):
    """The mean of 2 x 2 pixels, with a last pixel that is mirrored or repeated."""
    x = np.random.default_rng(size).standard_normal((1, 2, size, 6))
    for mode, last in (("reflect", max(size - 2, 0)), ("replicate", size - 1)):
        layer = FilterOptions("wavelet", padding_mode=mode).build(2, 2).double()
        rows = np.concatenate([x, x[:, :, last : last + 1]], 2) if size % 2 else x
        expected = (rows[:, :, ::2] + rows[:, :, 1::2]) / 2
        expected = (expected[..., ::2] + expected[..., 1::2]) / 2
        np.testing.assert_allclose(layer(torch.from_numpy(x)).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("name", sorted(KINDS.keys() - {"pasa"}))
def test_sizes_and_constants(name):
    """For all maps up to 13 pixels; with "pasa" a constant depends on the group."""
    layer = build_lowpass(config(NAME=name, GROUPS=2, INIT="kaiming"), 4, 2).eval()
    for size in range(1, 14):
        y = layer(torch.full((1, 4, size, 14 - size), 1.7))
        expected = torch.full((1, 4, math.ceil(size / 2), math.ceil((14 - size) / 2)), 1.7)
        torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("name", KINDS)
def test_dtypes(name):
    layer = build_lowpass(config(NAME=name, GROUPS=2), 4, 2).eval()
    for dtype in (torch.float64, torch.bfloat16):
        x = torch.randn(1, 4, 6, 5, dtype=dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            assert copy.deepcopy(layer).to(dtype)(x).dtype == dtype


@pytest.mark.parametrize("name", KINDS)
def test_only_predictors_have_weights(name):
    names = {key.split(".")[0] for key in FilterOptions(name).build(16, 2).state_dict()}
    assert names == ({"predictor"} if name in ("adaptive", "pasa") else set())


def test_names_per_place():
    assert lowpass_names(config(NAME="blur,adaptive,flc,none")) == (
        "blur",
        "adaptive",
        "flc",
        "none",
    )
    for name, message in (
        ("blur,gauss,flc,none", "MODEL.ANTIALIAS.NAME is 'gauss', but must be one of 'none'"),
        ("blur,blur", "MODEL.ANTIALIAS.NAME is 'blur,blur', but must be one name, or four"),
    ):
        with pytest.raises(InvalidOption, match=message):
            lowpass_names(config(NAME=name))
    with pytest.raises(InvalidOption, match="MODEL.ANTIALIAS.NAME is 'blur,blur,flc,none'"):
        build_lowpass(config(NAME="blur,blur,flc,none"), 16, 2)


def test_plain_options_per_place():
    stem, res3, res4, res5 = FilterOptions("blur,adaptive,flc,none", groups=4).lowpass_per_place
    assert isinstance(stem(16, 2), BlurPool2d) and res3(16, 2).groups == 4
    assert isinstance(res4(16, 2), FrequencyPool2d) and res5 is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"NAME": "gauss"}, r"MODEL.ANTIALIAS.NAME is 'gauss'.*'none', 'blur', 'adaptive'"),
        ({"KERNEL_SIZE": 4}, "MODEL.ANTIALIAS.KERNEL_SIZE is 4, but must be odd"),
        ({"GROUPS": 7}, "MODEL.ANTIALIAS.GROUPS is 7, but must be a divisor of the 64"),
        ({"SOFTMAX": "tap"}, "MODEL.ANTIALIAS.SOFTMAX is 'tap', but must be one of 'group', 'all'"),
        ({"ADAPTIVITY": "time"}, "MODEL.ANTIALIAS.ADAPTIVITY"),
        ({"NORM": "LN"}, "MODEL.ANTIALIAS.NORM"),
        ({"INIT": "zero"}, "MODEL.ANTIALIAS.INIT"),
        ({"PADDING_MODE": "wrap"}, "MODEL.ANTIALIAS.PADDING_MODE"),
        ({"NAME": "blur", "KERNEL_SIZE": 9}, "MODEL.ANTIALIAS.KERNEL_SIZE"),
        ({"NAME": "gaussian", "SIGMA": 0.0}, "MODEL.ANTIALIAS.SIGMA is 0.0, but must be a number"),
        (
            {"PREDICTOR_GROUPS": 3},
            "MODEL.ANTIALIAS.PREDICTOR_GROUPS is 3.*divisor of the 8 filters",
        ),
        ({"PREDICTOR_KERNEL": 2}, "MODEL.ANTIALIAS.PREDICTOR_KERNEL is 2, but must be odd, or 0"),
    ],
)
def test_illegal_values_name_the_key(options, message):
    with pytest.raises(InvalidOption, match=message):
        build_lowpass(config(**options), 64, 2)


@pytest.fixture
def registered(monkeypatch):
    """Filters that a test registers end with it."""
    monkeypatch.setattr(LOWPASS_REGISTRY, "_obj_map", dict(LOWPASS_REGISTRY._obj_map))


@pytest.mark.usefixtures("registered")
def test_own_filter():
    """What the README promises: a decorator, and the name in a config."""

    @LOWPASS_REGISTRY.register()
    def test_mean(cfg, channels, stride):
        return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)

    pool = build_lowpass(config(NAME="test_mean"), 4, 2)
    assert pool(torch.ones(1, 4, 7, 8)).shape == (1, 4, 4, 4)


def test_the_filter_leaves_the_generator_alone():
    """So that what is built after it starts the same, whichever filter it is."""
    after, filters = [], []
    for name in ("blur", "adaptive"):
        torch.manual_seed(0)
        filters.append(build_lowpass(config(NAME=name), 16, 2))
        after.append(nn.Conv2d(3, 3, 3).weight)
    assert torch.equal(*after)
    for seed, same in ((0, True), (1, False)):
        torch.manual_seed(seed)
        other = build_lowpass(config(NAME="adaptive"), 16, 2)
        assert torch.equal(other.predictor.weight, filters[1].predictor.weight) == same


@pytest.mark.usefixtures("registered")
def test_a_filter_made_of_ours():
    """A registered filter may call another one: the name in the config is its own then."""

    @LOWPASS_REGISTRY.register()
    def test_twice(cfg, channels, stride):
        adaptive = LOWPASS_REGISTRY.get("adaptive")
        return nn.Sequential(adaptive(cfg, channels, 1), adaptive(cfg, channels, stride))

    first, second = build_lowpass(config(NAME="test_twice", GROUPS=2), 4, 2)
    assert isinstance(first, AdaptiveBlurPool2d) and (first.groups, second.stride) == (2, 2)


def test_options_are_those_of_the_config():
    node = config().MODEL.ANTIALIAS
    assert FilterOptions.from_config(config()) == FilterOptions()
    of_the_network = {"STEM_POOL_SIZE", "DILATED", "FREEZE", "BACKBONE", "PATCH_EMBED"}
    keys = {f"MODEL.ANTIALIAS.{key}": node[key] for key in node.keys() - of_the_network}
    assert FilterOptions().to_config() == keys
    cfg = config(NAME="blur", KERNEL_SIZE=5, GROUPS=2, ADAPTIVITY="image", SOFTMAX="all")
    cfg.MODEL.ANTIALIAS.update(NORM="GN", INIT="kaiming", PADDING_MODE="zeros")
    cfg.MODEL.ANTIALIAS.update(PREDICTOR_GROUPS=2, PREDICTOR_SMOOTH=True, PREDICTOR_KERNEL=5)
    cfg.MODEL.ANTIALIAS.SIGMA = 0.5
    options = FilterOptions("blur", 5, 2, "image", "all", "GN", "kaiming", "zeros", 2, True, 5, 0.5)
    assert FilterOptions.from_config(cfg) == options


@pytest.mark.parametrize("name", ["blur", "adaptive"])
def test_plain_options_build_what_a_config_builds(name):
    options = FilterOptions(name, kernel_size=5, groups=2, padding_mode="zeros", softmax="all")
    cfg = config(NAME=name, KERNEL_SIZE=5, GROUPS=2, PADDING_MODE="zeros", SOFTMAX="all")
    assert repr(options.lowpass(16, 1)) == repr(build_lowpass(cfg, 16, 1))


def test_none_makes_no_filter():
    assert FilterOptions("none").lowpass is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": "gauss"}, "^name is 'gauss', but must be one of 'none', 'blur', 'adaptive'"),
        ({"kernel_size": 4}, "^kernel_size is 4, but must be odd"),
        ({"groups": 7}, "^groups is 7, but must be a divisor of the 64"),
        ({"name": "blur", "padding_mode": "wrap"}, "^padding_mode is 'wrap'"),
    ],
)
def test_illegal_values_name_the_argument(options, message):
    with pytest.raises(InvalidOption, match=message):
        FilterOptions(**options).lowpass(64, 2)
