"""How much the learned filters let through, over the image (Zou et al., BMVC 2020, section 3).

The variance of a filter's k * k weights is highest for the identity and zero for the average. The
paper finds it high on smooth content, where there is nothing to lose, and low on busy content.
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from torch import Tensor, nn

from aa_detectron.experiments.figures.style import add_bar
from aa_detectron.layers.blur_pool import binomial_kernel

from .recording import adaptive_filters, over_image, record_image, shared_places


def filter_variance(filters: Tensor) -> Tensor:
    """Variance of the weights of each filter.

    Each is first brought to a sum of 1, which those of ``SOFTMAX: "all"`` do not have.

    Args:
        filters: (N, g, k * k, H, W), positive.

    Returns:
        (N, g, H, W), from 0 (average) to :func:`identity_variance` (one weight of 1).
    """
    filters = filters / filters.sum(2, keepdim=True)
    return filters.var(2, correction=0)


def identity_variance(taps: int) -> float:
    """1/n (1 - 1/n) for the n = k * k weights of a filter that passes one pixel."""
    return (1 - 1 / taps) / taps


def binomial_variance(kernel_size: int) -> float:
    """That of the binomial blur, with which the filters start."""
    return float(binomial_kernel(kernel_size).var(correction=0))


@torch.no_grad()
def variance_maps(model: nn.Module, item: dict) -> dict[str, Tensor]:
    """The variance, mean over groups, of all filters of a backbone over one image.

    Args:
        model: of Detectron2, in evaluation mode.
        item: its input, with "image" of (3, h, w).

    Returns:
        {place: (h, w)} relative to the identity's: 0 average, 1 identity.

    Raises:
        InputError: the backbone has no adaptive filters.
    """
    inputs, padded = record_image(model, item)
    maps = {}
    for place, layer in adaptive_filters(model.backbone).items():
        filters = layer.predict_filters(inputs[place])
        variance = filter_variance(filters)[0].mean(0) / identity_variance(filters.shape[2])
        maps[place] = over_image(variance.cpu(), padded, tuple(item["image"].shape[-2:]))
    return maps


def describe(variance: Tensor, image: np.ndarray, kernel_size: int) -> dict[str, float]:
    """Numbers for a map of :func:`variance_maps`.

    Args:
        variance: (h, w).
        image: (h, w, 3) uint8.
        kernel_size: k of the filters.

    Returns:
        {"mean", "low", "high": 5 % and 95 % quantile, "binomial": that of the filter they start
        with, "correlation_with_gradient": Spearman's, with the strength of the image's gradient;
        NaN for a constant map}.
    """
    low, high = np.quantile(variance, (0.05, 0.95))
    constant = float(variance.max() - variance.min()) < 1e-6
    gradient = np.hypot(*np.gradient(image.mean(axis=2)))
    correlation = np.nan if constant else spearmanr(variance.flatten(), gradient.ravel()).statistic
    return {
        "mean": float(variance.mean()),
        "low": float(low),
        "high": float(high),
        "binomial": binomial_variance(kernel_size) / identity_variance(kernel_size**2),
        "correlation_with_gradient": float(correlation),
    }


def draw_variance(images: dict[str, np.ndarray], models: dict[str, dict[str, Tensor]]) -> Figure:
    """A row for each model: its input and the maps. A place has one scale for all models.

    Args:
        images: (h, w, 3) uint8 RGB, by the models' names.
        models: as of :func:`variance_maps`; places that all have are drawn, but for shortcuts.
    """
    places = shared_places(models)
    height, width = next(iter(images.values())).shape[:2]
    ratios = [height / width] * len(models) + [0.06]
    size = 2 * (1 + len(places)), 1.9 * sum(ratios) + 0.9
    figure = Figure(figsize=size, dpi=200, layout="constrained")
    axes = figure.subplots(len(ratios), 1 + len(places), height_ratios=ratios)
    for ax in axes[:-1].flat:
        ax.set(xticks=[], yticks=[])
    for row, (name, image) in zip(axes[:-1], images.items(), strict=True):
        row[0].imshow(image)
        row[0].set_ylabel(name)
    axes[0, 0].set_title("input")
    axes[-1, 0].axis("off")
    for column, place in zip(axes.T[1:], places, strict=True):
        maps = [model[place].numpy() for model in models.values()]
        limits = {"vmin": min(m.min() for m in maps), "vmax": max(m.max() for m in maps)}
        for ax, variance in zip(column[:-1], maps, strict=True):
            shown = ax.imshow(variance, **limits)
        column[0].set_title(place)
        add_bar(figure, shown, cax=column[-1])
    figure.supxlabel("variance of the filters' weights (0: average, 1: identity)", size=9)
    return figure
