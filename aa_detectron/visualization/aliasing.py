"""The aliasing picture: a noisy image downsampled in three ways (Zou et al., BMVC 2020, fig. 1).

The paper filters with Gaussians: none, one that is tuned to the noise, and one for every location,
weak at edges. Here the last is :class:`~aa_detectron.layers.AdaptiveBlurPool2d` itself, fitted to
this image; the Gaussian is fitted, too, to the same target. So it shows what the layer can
express where one blur must serve edges and noise alike. It is no network's filter: those filter
maps of features, where nobody could tell noise from detail by eye.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar
from torch import Tensor
from tqdm import trange

from aa_detectron.layers import AdaptiveBlurPool2d, blur_pool2d

from .filter_variance import filter_variance, identity_variance
from .plotting import add_bar
from .recording import over_image

STRIDE, KERNEL_SIZE = 4, 7
LARGEST_SIGMA = 4.0
TITLES = {"none": "no filter", "gaussian": "Gaussian", "adaptive": "adaptive"}


def gaussian_kernel(sigma: float) -> Tensor:
    """(k, k) float32 of sum 1, k odd and three sigma wide on both sides."""
    reach = math.ceil(3 * sigma)
    row = torch.exp(-((torch.arange(-reach, reach + 1).double() / sigma) ** 2) / 2)
    kernel = torch.outer(row, row)
    return (kernel / kernel.sum()).float()


def add_noise(image: np.ndarray, deviation: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The image, and with white Gaussian noise: both (1, 3, H, W) float32, 0 to 1.

    Args:
        image: (H, W, 3) uint8.
        deviation: standard deviation of the noise, in the same units as 0 to 1.
        seed: of the noise.
    """
    clean = torch.tensor(image, dtype=torch.float32).permute(2, 0, 1)[None] / 255
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    return clean, (clean + deviation * noise).clamp(0, 1)


def downsample(image: np.ndarray, deviation: float = 0.1, seed: int = 0, steps: int = 300) -> dict:
    """A quarter of a noisy image in three ways.

    The target of both fits is the clean image behind a Gaussian of sigma (stride - 1) / 2 px,
    scikit-image's choice against aliasing, at the kept positions; the error is its mean square.

    Args:
        image: (H, W, 3) uint8.
        deviation, seed: see :func:`add_noise`.
        steps: of Adam, for the adaptive filter.

    Returns:
        {"input": (1, 3, H, W), "none", "gaussian", "adaptive": (1, 3, H / 4, W / 4), rounded up,
        "variance": (H, W) of the adaptive filters relative to the identity's,
        "sigma": of the Gaussian in px, "psnr": {way: dB against the target}}.
    """
    clean, noisy = add_noise(image, deviation, seed)
    target = blur_pool2d(clean, gaussian_kernel((STRIDE - 1) / 2), STRIDE)
    sigma = fit_gaussian(noisy, target)
    layer = fit_adaptive(noisy, target, steps, seed)
    with torch.no_grad():
        made = {
            "none": noisy[..., ::STRIDE, ::STRIDE],
            "gaussian": blur_pool2d(noisy, gaussian_kernel(sigma), STRIDE),
            "adaptive": layer(noisy),
        }
        variance = filter_variance(layer.predict_filters(noisy))[0, 0]
    variance = over_image(variance / identity_variance(KERNEL_SIZE**2), *[noisy.shape[-2:]] * 2)
    psnr = {way: -10 * math.log10(F.mse_loss(made[way], target).item()) for way in made}
    return made | {"input": noisy, "variance": variance, "sigma": sigma, "psnr": psnr}


def fit_gaussian(noisy: Tensor, target: Tensor) -> float:
    """The sigma, in px, whose Gaussian brings the downsampled image closest to the target."""

    def error(sigma: float) -> float:
        return F.mse_loss(blur_pool2d(noisy, gaussian_kernel(sigma), STRIDE), target).item()

    return float(minimize_scalar(error, bounds=(0.2, LARGEST_SIGMA), method="bounded").x)


def fit_adaptive(noisy: Tensor, target: Tensor, steps: int, seed: int) -> AdaptiveBlurPool2d:
    """One filter of k = 7 for each location, the same for all colours, fitted with Adam."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = AdaptiveBlurPool2d(3, KERNEL_SIZE, STRIDE, 1)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in trange(steps, desc="fitting the filter", unit="step"):
        optimizer.zero_grad()
        F.mse_loss(layer(noisy), target).backward()
        optimizer.step()
        scheduler.step()
    with torch.no_grad():
        layer(noisy)
    return layer.eval()


def draw_downsampled(made: dict, corner: tuple[float, float] = (0.5, 0.5)) -> Figure:
    """The four images of :func:`downsample` and a detail of each, with the filters' variance.

    Args:
        made: of :func:`downsample`.
        corner: top left of the detail, a quarter of the image high and wide, as shares of the
            height and width.
    """
    height, width = made["input"].shape[-2:]
    figure = Figure(figsize=(12.5, 4.9 * height / width + 0.5), dpi=160, layout="constrained")
    axes = figure.subplots(2, 5)
    titles = {"input": "input"} | {
        way: f"1/{STRIDE}, {title}\n{made['psnr'][way]:.1f} dB" for way, title in TITLES.items()
    }
    extent = (0, width, height, 0)
    y, x = round(corner[0] * height), round(corner[1] * width)
    for column, (name, title) in enumerate(titles.items()):
        pixels = made[name][0].permute(1, 2, 0).clamp(0, 1).numpy()
        for ax in axes[:, column]:
            ax.imshow(pixels, extent=extent, interpolation="nearest")
        axes[0, column].set_title(title)
    for ax in axes[:, 4]:
        shown = ax.imshow(made["variance"], extent=extent, cmap="viridis")
    axes[0, 4].set_title("variance of the\nadaptive filters")
    add_bar(figure, shown, "0: average, 1: identity", ax=axes[:, 4], pad=0.03)
    for ax in axes.flat:
        ax.set_xticks([]), ax.set_yticks([])
    for ax in axes[1]:
        ax.set_xlim(x, x + width // 4), ax.set_ylim(y + height // 4, y)
    return figure
