"""build_resnet from plain arguments; as a backbone it is tested in test_resnet.py."""

import pytest
import torch
from detectron2.modeling import ResNet, build_backbone
from modeling.test_resnet import config, filters, image

from aa_detectron.errors import InvalidOption
from aa_detectron.layers import FilterOptions
from aa_detectron.modeling.build import NUM_BLOCKS, build_resnet


@torch.no_grad()
@pytest.mark.parametrize("depth", NUM_BLOCKS)
def test_plain_arguments_build_what_a_config_builds(depth):
    cfg = config("blur", depth=depth, NORM="BN", STRIDE_IN_1X1=False)
    torch.manual_seed(0)
    from_config = build_backbone(cfg).eval()
    torch.manual_seed(0)
    lowpass = FilterOptions("blur").lowpass
    plain = build_resnet(depth, lowpass=lowpass, out_features=["res2", "res5"]).eval()
    assert type(plain) is ResNet
    assert list(filters(plain)) == list(filters(from_config))
    expected = from_config(image())
    for name, output in plain(image()).items():
        # A filter in a config draws one number of its own, so the weights differ.
        assert output.shape == expected[name].shape
    assert plain.output_shape()["res5"] == from_config.output_shape()["res5"]


@pytest.mark.parametrize("stem_last", [False, True])
def test_order_of_the_random_weights(stem_last):
    """What is made first does not depend on the width of what is made last."""
    weights = []
    for width in (16, 32):
        torch.manual_seed(0)
        network = build_resnet(50, res2_out_channels=64, width_per_group=width, stem_last=stem_last)
        weights.append(network.stem.conv1.weight[0, 0])
    assert torch.equal(*weights) != stem_last


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"depth": 20}, "^depth is 20, but must be one of 18, 34, 50, 101, 152"),
        ({"stem_type": "wide"}, "^stem_type is 'wide'"),
        ({"stem_pool_size": 4}, "^stem_pool_size is 4, but must be one of 2, 3"),
        ({"freeze_at": 6}, "^freeze_at is 6"),
        ({"res4_dilation": 4}, "^res4_dilation is 4, but must be one of 1, 2"),
        ({"res4_dilation": 2}, "^res5_dilation is 1, but must be one of 4"),
        ({"res5_multi_grid": [1, 2]}, r"^res5_multi_grid is \[1, 2\], but must be a list of 3"),
        ({"depth": 18, "num_groups": 32}, "^num_groups is 32, but must be 1 for depth 18"),
        ({"depth": 18, "res2_out_channels": 256}, "^res2_out_channels is 256, but must be 64"),
        ({"out_features": ("res5", "res9")}, r"^out_features is .* or more of .* res4, res5$"),
        ({"out_features": []}, r"^out_features is \[\]"),
        ({"out_features": ["linear"]}, "^out_features is .* res4, res5$"),
        ({"num_classes": 0}, "^num_classes is 0"),
        ({"width_per_group": 0}, "^width_per_group is 0"),
        ({"lowpass": FilterOptions(groups=7).lowpass}, "^groups is 7"),
    ],
)
def test_illegal_arguments_are_named(arguments, message):
    with pytest.raises(InvalidOption, match=message):
        build_resnet(**{"depth": 50} | arguments)


@pytest.mark.parametrize(
    "node, key, value",
    [("ANTIALIAS", "STEM_POOL_SIZE", 4), ("BACKBONE", "FREEZE_AT", 6), ("RESNETS", "DEPTH", 20)],
)
def test_a_config_names_the_key(node, key, value):
    cfg = config()
    cfg.MODEL[node][key] = value
    with pytest.raises(InvalidOption, match=f"^MODEL.{node}.{key} is {value}, but must be one of"):
        build_backbone(cfg)
