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
    build_lowpass,
)


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
    )
    layer = build_lowpass(cfg, 16, 1)
    assert isinstance(layer, AdaptiveBlurPool2d)
    assert (layer.kernel_size, layer.stride, layer.groups) == (5, 1, 4)
    assert (layer.per_location, layer.softmax, layer.padding_mode) == (False, "all", "replicate")
    assert isinstance(layer.predictor.norm, nn.GroupNorm)
    assert not layer.offset.any()


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
    ],
)
def test_illegal_values_name_the_key(options, message):
    with pytest.raises(InvalidOption, match=message):
        build_lowpass(config(**options), 64, 2)


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
    of_the_network = {"STEM_POOL_SIZE", "DILATED", "FREEZE"}
    keys = {f"MODEL.ANTIALIAS.{key}": node[key] for key in node.keys() - of_the_network}
    assert FilterOptions().to_config() == keys
    cfg = config(NAME="blur", KERNEL_SIZE=5, GROUPS=2, ADAPTIVITY="image", SOFTMAX="all")
    cfg.MODEL.ANTIALIAS.update(NORM="GN", INIT="kaiming", PADDING_MODE="zeros")
    options = FilterOptions("blur", 5, 2, "image", "all", "GN", "kaiming", "zeros")
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
