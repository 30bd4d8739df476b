import itertools

import pytest
import torch

from aa_detectron.layers.blur_pool import pad_same
from aa_detectron.layers.ops import blocks as blocks_module
from aa_detectron.layers.ops.blocks import blocks, from_pixels, to_pixels, transposed

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
            unpadded = block.unpad(gradient.permute(0, 2, 3, 1).clone()).permute(0, 3, 1, 2)
            torch.testing.assert_close((unpadded * block.of_map(x)).sum(), expected)


def test_a_unit_of_images_is_not_separated(block_size):
    x = torch.randn(6, 2, 9, 7)
    for block in blocks(x, 3, 2, "reflect", unit=3):
        assert block.images.start % 3 == block.images.stop % 3 == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5, 7), (1, 4), (4, 1), (3, 20, 33), (2, 3, 4, 5)])
def test_transposed(shape, dtype):
    matrix = torch.randn(shape).to(dtype)
    for m in (matrix, matrix.mT, matrix[..., 1:]):
        result = transposed(m)
        assert torch.equal(result, m.mT) and result.is_contiguous()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_pixels(memory_format):
    x = torch.randn(2, 3, 4, 5).to(memory_format=memory_format)
    pixels = to_pixels(x)
    assert torch.equal(pixels, x.permute(0, 2, 3, 1)) and pixels.is_contiguous()
    assert (pixels.data_ptr() == x.data_ptr()) == (memory_format is torch.channels_last)
    back = from_pixels(pixels, x)
    assert torch.equal(back, x) and back.stride() == x.stride()
