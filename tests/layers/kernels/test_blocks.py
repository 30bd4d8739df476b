import itertools

import pytest
import torch

from aa_detectron.layers.blur_pool import pad_same
from aa_detectron.layers.kernels.cpu import blocks as blocks_module
from aa_detectron.layers.kernels.cpu.blocks import blocks

CASES = [
    (size, k, stride, mode)
    for size, (k, stride), mode in itertools.product(
        [(9, 7), (12, 10), (1, 1), (1, 6), (5, 2)],
        [(3, 1), (3, 2), (3, 3), (5, 2), (7, 2)],
        ["reflect", "replicate", "zeros"],
    )
]


@pytest.fixture(params=["rows", "images", "one"])
def block_size(request, monkeypatch):
    """Blocks of a row, of an image or two, of everything."""
    size = {"rows": 1, "images": 700, "one": 1 << 20}[request.param]
    monkeypatch.setattr(blocks_module, "SIZE", size)


def test_padded_blocks_are_windows_of_the_padded_map(block_size):
    for size, k, stride, mode in CASES:
        x = torch.randn(3, 2, *size)
        padded = pad_same(x, k, mode)
        seen = torch.zeros(3, -(-size[0] // stride), dtype=torch.int)
        for block in blocks(x, k, stride, mode):
            seen[block.images, block.rows] += 1
            first = block.rows.start * stride
            last = (block.rows.stop - 1) * stride + k
            expected = padded[block.images, :, first:last]
            assert torch.equal(block.pad(x), expected), (size, k, stride, mode)
            assert block.padded_size(size[1]) == expected.shape[2:]
        assert (seen == 1).all(), (size, k, stride, mode)


def test_unpad_is_the_adjoint_of_pad(block_size):
    for size, k, stride, mode in CASES:
        x = torch.randn(2, 2, *size, dtype=torch.float64)
        for block in blocks(x, k, stride, mode):
            gradient = torch.randn_like(block.pad(x))
            expected = (gradient * block.pad(x)).sum()
            unpadded = block.unpad(gradient.clone())
            torch.testing.assert_close((unpadded * block.of_map(x)).sum(), expected)
