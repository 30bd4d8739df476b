"""Padded convolutions against torch's own."""

import pytest
import torch
from torch import nn

from aa_detectron.layers.padding import padded_conv2d


@pytest.mark.parametrize("mode", ["reflect", "replicate", "zeros"])
@pytest.mark.parametrize("k, stride, groups", [(3, 1, 1), (3, 2, 2), (5, 2, 1)])
def test_equals_torchs_padded_conv(mode, k, stride, groups):
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    options = {"stride": stride, "padding": k // 2, "groups": groups, "padding_mode": mode}
    conv = nn.Conv2d(4, 6, k, dtype=torch.float64, **options)
    found = padded_conv2d(x, conv.weight, conv.bias, stride, mode, groups)
    torch.testing.assert_close(found, conv(x))


def test_autocast_reaches_the_conv():
    x, weight = torch.randn(1, 4, 8, 8), torch.randn(6, 4, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert padded_conv2d(x, weight, None, 2, "reflect").dtype == torch.bfloat16
