"""The aliasing picture: a noisy image downsampled in three ways (Zou et al., BMVC 2020, fig. 1).

The paper's are: without a filter, behind a Gaussian that is tuned to the noise, and behind one for
every location, weaker at edges. Here the last is :class:`~aa_detectron.layers.AdaptiveBlurPool2d`
itself, fitted to this image; the Gaussian is fitted to the same target. A network's own filters
would not do: they filter maps of features, in which nobody can tell noise from detail by eye.

In a network the filter is predicted from features. In their place it gets the strength of the
image's gradient beside the colours: from noisy colours alone its single conv cannot tell an edge,
and gains nothing over the Gaussian. Every step of the fit sees other noise, and the picture's is
none of it, for the layer has more weights than a small image has pixels.
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

from aa_detectron.experiments.figures.style import add_bar
from aa_detectron.layers import AdaptiveBlurPool2d, blur_pool2d

from .filter_variance import filter_variance, identity_variance
from .recording import over_image

STRIDE, KERNEL_SIZE = 4, 7
TARGET_SIGMA = STRIDE / 4
"""In px: half a pixel of the result, the blur of a sharp image (Lowe, IJCV 2004, section 3.3)."""
FEATURE_SIGMAS = (1.0, 2.0)
LARGEST_SIGMA = 4.0
TITLES = {"none": "no filter", "gaussian": "Gaussian", "adaptive": "adaptive"}


def gaussian_kernel(sigma: float) -> Tensor:
    """(k, k) float32 of sum 1, k odd and three sigma wide on both sides."""
    reach = math.ceil(3 * sigma)
    row = torch.exp(-((torch.arange(-reach, reach + 1).double() / sigma) ** 2) / 2)
    kernel = torch.outer(row, row)
    return (kernel / kernel.sum()).float()


def features(image: Tensor) -> Tensor:
    """The colours, and the strength of the gradient behind Gaussians of :data:`FEATURE_SIGMAS`.

    Args:
        image: (1, 3, H, W).

    Returns:
        (1, 5, H, W).
    """
    maps = [image]
    for sigma in FEATURE_SIGMAS:
        along = torch.gradient(blur_pool2d(image, gaussian_kernel(sigma), 1), dim=(2, 3))
        maps.append(sum(g.square().sum(1, keepdim=True) for g in along).sqrt())
    return torch.cat(maps, dim=1)


def downsample(image: np.ndarray, noise: float = 0.1, seed: int = 0, steps: int = 200) -> dict:
    """A quarter of a noisy image in three ways.

    The target of both fits is the clean image behind a Gaussian of :data:`TARGET_SIGMA` at the kept
    positions; the error is its mean square.

    Args:
        image: (H, W, 3) uint8, 16 x 16 pixels or more.
        noise: standard deviation of the white Gaussian noise; the colours are 0 to 1.
        seed: of all noise and of the fit.
        steps: of Adam, for the adaptive filter.

    Returns:
        {"input": (1, 3, H, W), "none", "gaussian", "adaptive": (1, 3, H / 4, W / 4), rounded up,
        "variance": (H, W) of the adaptive filters relative to the identity's,
        "sigma": of the Gaussian in px, "psnr": {way: dB against the target}}.
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
    variance = over_image(variance / identity_variance(KERNEL_SIZE**2), *[clean.shape[-2:]] * 2)
    psnr = {way: -10 * math.log10(F.mse_loss(made[way], target).item()) for way in made}
    return made | {"input": shown, "variance": variance, "sigma": sigma, "psnr": psnr}


def fit_gaussian(noisy: Tensor, target: Tensor) -> float:
    """The sigma, in px, whose Gaussian brings the downsampled image closest to the target."""

    def error(sigma: float) -> float:
        return F.mse_loss(blur_pool2d(noisy, gaussian_kernel(sigma), STRIDE), target).item()

    return float(minimize_scalar(error, bounds=(0.2, LARGEST_SIGMA), method="bounded").x)


def fit_adaptive(
    noisy: Callable[[], Tensor], target: Tensor, steps: int, seed: int
) -> AdaptiveBlurPool2d:
    """One 7 x 7 filter for each location, the same for all colours, fitted with Adam.

    Args:
        noisy: gives the image with new noise, (1, 3, H, W), at every call.
        target: (1, 3, H / 4, W / 4), rounded up.
        steps, seed: see :func:`downsample`.

    Returns:
        the layer, for :func:`features`, in evaluation mode.
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
    """The four images of :func:`downsample` and a detail of each, with the filters' variance.

    Args:
        made: of :func:`downsample`.
        corner: top left of the detail, a quarter of the image high and wide, as shares of the
            height and width.
    """
    height, width = made["input"].shape[-2:]
    size = (13, 5 * height / width + 0.6)
    figure = Figure(figsize=size, dpi=160, layout="constrained")
    axes = figure.subplots(2, 5)
    titles = {"input": "input"} | {
        way: f"1/{STRIDE}, {title}\n{made['psnr'][way]:.1f} dB" for way, title in TITLES.items()
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
