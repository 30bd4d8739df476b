import pytest
import torch

from aa_detectron.layers.kernels.cpu.layout import in_format_of, to_pixels, to_planes, transposed


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5, 7), (1, 4), (4, 1), (3, 20, 33), (2, 3, 4, 5)])
def test_transposed(shape, dtype):
    matrix = torch.randn(shape).to(dtype)
    for m in (matrix, matrix.mT, matrix[..., 1:]):
        result = transposed(m)
        assert torch.equal(result, m.mT) and result.is_contiguous()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_memory_formats(memory_format):
    x = torch.randn(2, 3, 4, 5).to(memory_format=memory_format)
    last = memory_format is torch.channels_last
    pixels, planes = to_pixels(x), to_planes(x)
    assert torch.equal(pixels, x.permute(0, 2, 3, 1)) and pixels.is_contiguous()
    assert torch.equal(planes, x) and planes.is_contiguous()
    assert (pixels.data_ptr() == x.data_ptr()) == last
    assert (planes.data_ptr() == x.data_ptr()) == (not last)
    back = in_format_of(x, planes)
    assert torch.equal(back, x) and back.stride() == x.stride()


def test_planes_of_a_part():
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)[:, :, 1:3, 1:]
    planes = to_planes(x)
    assert torch.equal(planes, x) and planes.is_contiguous()
