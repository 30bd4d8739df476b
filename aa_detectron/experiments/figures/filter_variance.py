"""How much detail the learned filters keep, over the image (Zou et al., BMVC 2020, section 3).

The variance of a filter's k * k weights is highest for the identity and zero for the average. In
the paper it is high on smooth content, where there is nothing to lose, and low on busy content.
"""

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from torch import Tensor, nn

from aa_detectron.engine.launch import LoadedModel
from aa_detectron.layers.blur_pool import binomial_kernel

from .images import input_as_rgb, model_input
from .output import FigureFiles
from .recording import (
    backbone_filters,
    check_shared_places,
    over_image,
    record_image,
    shared_places,
)
from .style import add_bar, literal


def plot_variance(models: dict[str, LoadedModel], files: dict[str, str], folder: str) -> list[str]:
    """Writes "variance_<image>.png" and "variance.json".

    Args:
        models: models with adaptive filters, by name.
        files: paths of images by their names, see :func:`~.images.find_images`.
        folder: folder of the figures.

    Returns:
        the paths of the files.

    Raises:
        InputError: a model has no adaptive filters, the models share no place, a file cannot be
            read as an image, or the folder cannot be written.
    """
    check_shared_places(models)
    out, numbers = FigureFiles(folder, "variance"), {}
    for stem, path in files.items():
        items = {name: model_input(cfg, path) for name, (cfg, _) in models.items()}
        maps = {name: variance_maps(models[name].model, items[name]) for name in items}
        images = {name: input_as_rgb(models[name].cfg, item) for name, item in items.items()}
        moved = {name: distances_from_blur(models[name].model, items[name]) for name in models}
        numbers[stem] = {
            name: {
                place: describe(maps[name][place], images[name], layer.kernel_size)
                | {"distance_from_blur": moved[name][place]}
                for place, layer in backbone_filters(models[name].model).items()
            }
            for name in models
        }
        out.save_figure(stem, draw_variance(images, maps))
    return out.save_numbers(numbers)


def filter_variance(filters: Tensor) -> Tensor:
    """Variance of the weights of each filter.

    Each filter is first normalized to a sum of 1; with ``SOFTMAX: "all"`` its sum is smaller.

    Args:
        filters: (N, g, k * k, H, W), positive.

    Returns:
        (N, g, H, W), from 0 (average) to :func:`identity_variance` (one weight of 1).
    """
    filters = filters / filters.sum(2, keepdim=True)
    return filters.var(2, correction=0)


def identity_variance(taps: int) -> float:
    """Variance of the identity's n = k * k weights, one of them 1: 1/n (1 - 1/n)."""
    return (1 - 1 / taps) / taps


def binomial_variance(kernel_size: int) -> float:
    """Variance of the weights of the binomial blur, the initial filter of trainings."""
    return float(binomial_kernel(kernel_size).var(correction=0))


@torch.no_grad()
def variance_maps(model: nn.Module, item: dict) -> dict[str, Tensor]:
    """Variance of all filters of a backbone over one image, mean over the groups.

    Args:
        model: a model of Detectron2 in evaluation mode.
        item: the model's input, with "image" of (3, h, w).

    Returns:
        {place: variance relative to the identity's, (h, w); 0 is an average, 1 the identity}.

    Raises:
        InputError: the backbone has no adaptive filters.
    """
    all_filters, padded = _predict(model, item)
    maps = {}
    for place, filters in all_filters.items():
        variance = filter_variance(filters)[0].mean(0) / identity_variance(filters.shape[2])
        maps[place] = over_image(variance.cpu(), padded, tuple(item["image"].shape[-2:]))
    return maps


@torch.no_grad()
def distances_from_blur(model: nn.Module, item: dict) -> dict[str, float]:
    """How far the filters of a backbone have moved from their start, the binomial blur.

    Args:
        model, item: see :func:`variance_maps`.

    Returns:
        {place: mean absolute difference of a filter's weight from the blur's; a filter's weights
        are normalized to a sum of 1}.

    Raises:
        InputError: the backbone has no adaptive filters.
    """
    distances = {}
    for place, filters in _predict(model, item)[0].items():
        blur = binomial_kernel(math.isqrt(filters.shape[2])).to(filters).flatten()
        taps = filters / filters.sum(2, keepdim=True)
        distances[place] = float((taps - blur[:, None, None]).abs().mean())
    return distances


def _predict(model: nn.Module, item: dict) -> tuple[dict[str, Tensor], tuple[int, int]]:
    """{place: filters, (1, g, k * k, H, W)}, and the (height, width) of the padded image."""
    inputs, padded = record_image(model, item)
    layers = backbone_filters(model)
    return {place: layers[place].predict_filters(inputs[place]) for place in layers}, padded


def describe(variance: Tensor, image: np.ndarray, kernel_size: int) -> dict[str, float]:
    """Statistics of a map of :func:`variance_maps`.

    Args:
        variance: (h, w), 0 to 1.
        image: (h, w, 3) uint8.
        kernel_size: k of the filters.

    Returns:
        {"mean", "low" and "high": 5 % and 95 % quantiles, "binomial": variance of the
        initial filter, "correlation_with_gradient": Spearman's rank correlation with the
        strength of the image's gradient; NaN if the map or the gradient is constant}.
    """
    low, high = np.quantile(variance, (0.05, 0.95))
    gradient = np.hypot(*np.gradient(image.mean(axis=2)))
    constant = float(variance.max() - variance.min()) < 1e-6 or np.ptp(gradient) == 0
    correlation = np.nan if constant else spearmanr(variance.flatten(), gradient.ravel()).statistic
    return {
        "mean": float(variance.mean()),
        "low": float(low),
        "high": float(high),
        "binomial": binomial_variance(kernel_size) / identity_variance(kernel_size**2),
        "correlation_with_gradient": float(correlation),
    }


def draw_variance(images: dict[str, np.ndarray], models: dict[str, dict[str, Tensor]]) -> Figure:
    """Inputs and maps, a row for each model; a place has the same color scale for all models.

    Args:
        images: inputs, (h, w, 3) uint8 RGB, by the models' names.
        models: maps of :func:`variance_maps` by the models' names. The places that all models have
            are drawn, except shortcuts.
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
        row[0].set_ylabel(literal(name))
    axes[0, 0].set_title("input")
    axes[-1, 0].axis("off")
    for column, place in zip(axes.T[1:], places, strict=True):
        maps = [model[place].numpy() for model in models.values()]
        limits = {"vmin": min(m.min() for m in maps), "vmax": max(m.max() for m in maps)}
        for ax, variance in zip(column[:-1], maps, strict=True):
            shown = ax.imshow(variance, **limits)
        column[0].set_title(literal(place))
        add_bar(figure, shown, cax=column[-1])
    figure.supxlabel("variance of the filters' weights (0: average, 1: identity)", size=9)
    return figure
