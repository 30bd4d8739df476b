import json

import numpy as np
import pytest
import torch
from PIL import Image

from aa_detectron.errors import InvalidOption
from aa_detectron.experiments.figures import aliasing
from aa_detectron.layers import blur_pool2d


def edges(side=32):
    image = np.full((side, side, 3), 60, np.uint8)
    image[:, side // 3 : 2 * side // 3] = 200
    image[side // 2 :, :, 0] = 0
    return image


def test_gaussian_has_its_sigma():
    kernel = aliasing.gaussian_kernel(2.0)
    reach = kernel.shape[0] // 2
    x = torch.arange(-reach, reach + 1)
    assert kernel.sum() == pytest.approx(1)
    assert (kernel.sum(0) * x**2).sum().sqrt() == pytest.approx(2, abs=0.05)


def test_gaussian_of_the_target_is_found():
    image = torch.rand(1, 3, 32, 32)
    target = blur_pool2d(image, aliasing.gaussian_kernel(1.3), aliasing.STRIDE)
    assert aliasing.fit_gaussian(image, target) == pytest.approx(1.3, abs=0.01)


def test_ways_sizes_and_seed():
    made = aliasing.downsample(edges(30), 0.1, seed=3, steps=3)
    for way in aliasing.TITLES:
        assert made[way].shape == (1, 3, 8, 8)
    assert torch.equal(made["none"], made["input"][..., ::4, ::4])
    assert made["variance"].shape == (30, 30)
    again = aliasing.downsample(edges(30), 0.1, seed=3, steps=3)
    assert all(torch.equal(made[way], again[way]) for way in aliasing.TITLES)
    other = aliasing.downsample(edges(30), 0.1, seed=4, steps=3)
    assert not torch.equal(made["input"], other["input"])


def test_noise_is_not_learned_by_heart():
    """A flat image has nothing but noise: no filter can do better than the average of its taps."""
    made = aliasing.downsample(np.full((32, 32, 3), 128, np.uint8), 0.1, steps=60)
    for way in aliasing.TITLES:
        error = float((made[way] - 128 / 255).square().mean())
        assert made["psnr"][way] == pytest.approx(-10 * np.log10(error), abs=1e-3)
    average = -10 * np.log10(0.1**2 / aliasing.KERNEL_SIZE**2)
    assert made["psnr"]["adaptive"] < average + 0.5


def test_adaptive_is_weaker_on_detail_and_better():
    blocks = np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8)
    image = np.full((64, 64, 3), 128, np.uint8)
    image[:, 32:] = blocks.repeat(4, axis=0).repeat(4, axis=1)
    made = aliasing.downsample(image)
    assert made["psnr"]["none"] < made["psnr"]["gaussian"] < made["psnr"]["adaptive"] - 0.5
    assert made["variance"][:, 36:].mean() > 1.2 * made["variance"][:, :28].mean()


def test_result_that_equals_the_target_has_no_finite_psnr(tmp_path):
    """A black image without noise stays black behind every filter."""
    Image.new("RGB", (16, 16)).save(tmp_path / "black.png")
    made = aliasing.downsample(np.zeros((16, 16, 3), np.uint8), 0.0, steps=2)
    assert made["psnr"] == dict.fromkeys(aliasing.TITLES, float("inf"))
    aliasing.plot_aliasing({"black": str(tmp_path / "black.png")}, str(tmp_path), 0.0)
    psnr = json.loads((tmp_path / "aliasing.json").read_text())["black"]["psnr"]
    assert psnr == dict.fromkeys(aliasing.TITLES)
    titles = [axes.get_title() for axes in aliasing.draw_downsampled(made).axes]
    assert "1/4, Gaussian\nequals the target" in titles


def test_aliasing(files, tmp_path, written):
    path = next(iter(files.values()))
    paths = aliasing.plot_aliasing({"a": path}, str(tmp_path), 0.1)
    assert written(paths) == {"aliasing_a.png", "aliasing.json"}
    psnr = json.loads((tmp_path / "aliasing.json").read_text())["a"]["psnr"]
    assert psnr["none"] < psnr["gaussian"]
    with pytest.raises(InvalidOption, match="noise is -1, but must be 0 or more"):
        aliasing.plot_aliasing({"a": path}, str(tmp_path), -1)
