"""The aliasing picture: a noisy image downsampled in three ways (Zou et al., BMVC 2020, fig. 1).

The paper downsamples an image without a filter, with a Gaussian tuned to the noise, and with a
Gaussian for every location, weaker at edges. Here the third filter is
:class:`~aa_detectron.layers.AdaptiveBlurPool2d` itself, fitted to this image; the Gaussian is
fitted to the same target. The filters of a trained network are not suitable: they filter feature
maps, in which noise and detail look alike.

A network predicts the filters from features. Here the layer gets the strength of the image's
gradient beside the colors: its single convolution does not find edges in noisy colors alone, and
the result is then no better than with the Gaussian. The noise is new in every step of the fit, and
the noise in the picture is different again, because the layer has more weights than a small image
has pixels.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar
from torch import Tensor
from tqdm import trange

from aa_detectron.data.images import read_image
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.layers import AdaptiveBlurPool2d, blur_pool2d

from .filter_variance import filter_variance, identity_variance
from .output import FigureFiles
from .recording import over_image
from .style import add_bar

STRIDE, KERNEL_SIZE = 4, 7
SMALLEST_SIDE = 16
"""In pixels."""
TARGET_SIGMA = STRIDE / 4
"""In pixels: half a pixel of the result, the blur of a sharp image (Lowe, IJCV 2004, 3.3)."""
FEATURE_SIGMAS = (1.0, 2.0)
LARGEST_SIGMA = 4.0
TITLES = {"none": "no filter", "gaussian": "Gaussian", "adaptive": "adaptive"}


def plot_aliasing(files: dict[str, str], folder: str, noise: float, seed: int = 0) -> list[str]:
    """Writes "aliasing_<image>.png" and "aliasing.json".

    In the JSON a PSNR of null means that the result equals the target.

    Args:
        files: paths of images by their names, see :func:`~.images.find_images`.
        folder: folder of the figures.
        noise: standard deviation of the noise, 0 or more; black is 0, white is 1.
        seed: seed of the noise and of the fit.

    Returns:
        the paths of the files.

    Raises:
        InputError: a file cannot be read as an image or is too small, or the folder cannot be
            written.
        InvalidOption: the noise is negative or infinite.
    """
    if not 0 <= noise < math.inf:
        raise InvalidOption("noise", noise, "0 or more and finite")
    out, numbers = FigureFiles(folder, "aliasing"), {}
    for stem, path in files.items():
        image = read_image({"file_name": path}, "RGB")
        if min(image.shape[:2]) < SMALLEST_SIDE:
            raise InputError(f"{path}: is smaller than {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels")
        made = downsample(image, noise, seed)
        psnr = {way: None if math.isinf(db) else db for way, db in made["psnr"].items()}
        numbers[stem] = {"noise": noise, "sigma": made["sigma"], "psnr": psnr}
        out.save_figure(stem, draw_downsampled(made))
    return out.save_numbers(numbers)


def gaussian_kernel(sigma: float) -> Tensor:
    """A Gaussian of (k, k) float32 with sum 1; k is odd, three sigma (in pixels) on both sides."""
    reach = math.ceil(3 * sigma)
    row = torch.exp(-((torch.arange(-reach, reach + 1).double() / sigma) ** 2) / 2)
    kernel = torch.outer(row, row)
    return (kernel / kernel.sum()).float()


def features(image: Tensor) -> Tensor:
    """The colors, and the strength of the gradient after Gaussians of :data:`FEATURE_SIGMAS`.

    Args:
        image: (1, 3, H, W), colors 0 to 1.

    Returns:
        (1, 5, H, W).
    """
    maps = [image]
    for sigma in FEATURE_SIGMAS:
        along = torch.gradient(blur_pool2d(image, gaussian_kernel(sigma), 1), dim=(2, 3))
        rows, columns = (g.square().sum(1, keepdim=True) for g in along)
        maps.append((rows + columns).sqrt())
    return torch.cat(maps, dim=1)


def downsample(image: np.ndarray, noise: float = 0.1, seed: int = 0, steps: int = 200) -> dict:
    """Downsamples a noisy image by 4 in three ways.

    The target of both fits is the clean image after a Gaussian of :data:`TARGET_SIGMA`, at the kept
    positions. Both fits minimize the mean squared error.

    Args:
        image: (H, W, 3) uint8, 16 x 16 pixels or more.
        noise: standard deviation of the white Gaussian noise; colors are 0 to 1.
        seed: seed of all noise and of the fit.
        steps: number of Adam's steps that fit the adaptive filter.

    Returns:
        {"input": noisy image, (1, 3, H, W), "none", "gaussian", "adaptive": results,
        (1, 3, H / 4, W / 4), rounded up, "variance": variance of the adaptive filters relative to
        the identity's, (H, W), "sigma": sigma of the Gaussian in pixels, "psnr": {way: PSNR
        against the target in dB, infinite if they are equal}}.
    """
    clean = torch.tensor(image, dtype=torch.float32).permute(2, 0, 1)[None] / 255
    target = blur_pool2d(clean, gaussian_kernel(TARGET_SIGMA), STRIDE)
    generator = torch.Generator().manual_seed(seed)

    def noisy() -> Tensor:
        return clean + noise * torch.randn(clean.shape, generator=generator)

    shown = noisy()
    sigma = fit_gaussian(shown, target)
    layer = fit_adaptive(noisy, target, steps, seed)
    with torch.no_grad():
        made = {
            "none": shown[..., ::STRIDE, ::STRIDE],
            "gaussian": blur_pool2d(shown, gaussian_kernel(sigma), STRIDE),
            "adaptive": layer(features(shown))[:, :3],
        }
        variance = filter_variance(layer.predict_filters(features(shown)))[0, 0]
    height, width = clean.shape[-2:]
    relative = variance / identity_variance(KERNEL_SIZE**2)
    variance = over_image(relative, (height, width), (height, width))
    psnr = {way: _psnr(result, target) for way, result in made.items()}
    return made | {"input": shown, "variance": variance, "sigma": sigma, "psnr": psnr}


def _psnr(result: Tensor, target: Tensor) -> float:
    error = F.mse_loss(result, target).item()
    return -10 * math.log10(error) if error else math.inf


def fit_gaussian(noisy: Tensor, target: Tensor) -> float:
    """Sigma, in pixels, of the Gaussian that brings the result closest to the target."""

    def error(sigma: float) -> float:
        return F.mse_loss(blur_pool2d(noisy, gaussian_kernel(sigma), STRIDE), target).item()

    return float(minimize_scalar(error, bounds=(0.2, LARGEST_SIGMA), method="bounded").x)


def fit_adaptive(
    noisy: Callable[[], Tensor], target: Tensor, steps: int, seed: int
) -> AdaptiveBlurPool2d:
    """Fits a 7 x 7 filter for each location, the same for all colors, with Adam.

    Args:
        noisy: returns the image with new noise, (1, 3, H, W), at every call.
        target: (1, 3, H / 4, W / 4), rounded up.
        steps: number of steps.
        seed: seed of the layer's weights.

    Returns:
        the layer in evaluation mode; its input is :func:`features` of an image.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = AdaptiveBlurPool2d(3 + len(FEATURE_SIGMAS), KERNEL_SIZE, STRIDE, 1)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in trange(steps, desc="fitting the filter", unit="step"):
        optimizer.zero_grad()
        F.mse_loss(layer(features(noisy()))[:, :3], target).backward()
        optimizer.step()
        scheduler.step()
    return layer.eval()


def draw_downsampled(made: dict, corner: tuple[float, float] = (0.5, 0.5)) -> Figure:
    """The four images of :func:`downsample`, a detail of each, and the variance of the filters.

    Args:
        made: return value of :func:`downsample`.
        corner: top left corner of the detail, as fractions of height and width. The detail is a
            quarter of the image high and wide.
    """
    height, width = made["input"].shape[-2:]
    size = (13, 5 * height / width + 0.6)
    figure = Figure(figsize=size, dpi=160, layout="constrained")
    axes = figure.subplots(2, 5)
    titles = {"input": "input"} | {
        way: f"1/{STRIDE}, {title}\n{_decibel(made['psnr'][way])}" for way, title in TITLES.items()
    }
    extent = (0, width, height, 0)
    for column, (name, title) in zip(axes.T, titles.items(), strict=False):
        pixels = made[name][0].permute(1, 2, 0).clamp(0, 1).numpy()
        for ax in column:
            ax.imshow(pixels, extent=extent, interpolation="nearest")
        column[0].set_title(title)
    variance = made["variance"].numpy()
    for ax in axes[:, 4]:
        shown = ax.imshow(variance, extent=extent, vmin=0, vmax=np.quantile(variance, 0.99))
    axes[0, 4].set_title("variance of the\nadaptive filters")
    add_bar(figure, shown, "0: average, 1: identity", "vertical", ax=axes[:, 4], shrink=0.8)
    y, x = round(corner[0] * height), round(corner[1] * width)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    for ax in axes[1]:
        ax.set(xlim=(x, x + width // 4), ylim=(y + height // 4, y))
    return figure


def _decibel(psnr: float) -> str:
    return "equals the target" if math.isinf(psnr) else f"{psnr:.1f} dB"
