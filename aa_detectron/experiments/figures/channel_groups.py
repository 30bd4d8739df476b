"""Whether channels of one group resemble each other (Zou et al., BMVC 2020, section 4).

Neighboring channels form a group and share its filters. Training is expected to bring channels
that need the same filter into one group.
"""

import math
from collections.abc import Iterable

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor, nn
from tqdm import tqdm

from aa_detectron.engine.launch import LoadedModel

from .images import model_input
from .output import FigureFiles
from .recording import backbone_filters, check_shared_places, record_image, shared_places
from .style import add_bar, literal

ROUNDING = 1e-12
"""Fraction of a mean square: a smaller variance counts as zero."""


def plot_groups(models: dict[str, LoadedModel], files: dict[str, str], folder: str) -> list[str]:
    """Writes "groups.png" and "groups.json", each for all images together.

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
    out = FigureFiles(folder, "groups")
    found: dict[str, dict[str, tuple[np.ndarray, dict]]] = {}
    for name, (cfg, model) in models.items():
        items = (model_input(cfg, p) for p in tqdm(files.values(), desc=name, unit="image"))
        correlations = group_correlations(model, items)
        found[name] = {
            place: (correlation, compare_groups(correlation, groups))
            for place, (correlation, groups) in correlations.items()
        }
    out.save_figure("", draw_correlation(found))
    return out.save_numbers(
        {name: {place: pair[1] for place, pair in places.items()} for name, places in found.items()}
    )


class Correlation:
    """Pearson's correlation between channels, over all locations of all added maps.

    Args:
        channels: number of channels, C.
    """

    def __init__(self, channels: int):
        self.count = 0
        self.sums = torch.zeros(channels, dtype=torch.float64)
        self.products = torch.zeros(channels, channels, dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        """Adds a map, (N, C, H, W), of any height and width."""
        values = x.transpose(0, 1).flatten(1).double().cpu()
        self.count += values.shape[1]
        self.sums += values.sum(1)
        self.products += values @ values.T

    def result(self) -> np.ndarray:
        """(C, C) float64, -1 to 1; NaN in the rows and columns of constant channels."""
        mean = self.sums / self.count
        squares = self.products.diagonal() / self.count
        covariance = self.products / self.count - torch.outer(mean, mean)
        variance = covariance.diagonal().clone()
        variance[variance <= ROUNDING * squares] = math.nan
        return (covariance / torch.outer(variance, variance).sqrt()).clamp(-1, 1).numpy()


def group_correlations(
    model: nn.Module, items: Iterable[dict]
) -> dict[str, tuple[np.ndarray, int]]:
    """Correlation between the channels that go into each adaptive filter of a backbone.

    Args:
        model: a model of Detectron2 in evaluation mode.
        items: the model's inputs for some images.

    Returns:
        {place: (result of :class:`Correlation`, number of groups)}.

    Raises:
        InputError: the backbone has no adaptive filters.
    """
    filters = backbone_filters(model)
    found: dict[str, Correlation] = {}
    for item in items:
        for place, x in record_image(model, item)[0].items():
            found.setdefault(place, Correlation(x.shape[1])).add(x)
    return {place: (sums.result(), filters[place].groups) for place, sums in found.items()}


def compare_groups(
    correlation: np.ndarray, groups: int, *, shuffles: int = 999, seed: int = 0
) -> dict[str, float]:
    """Compares the mean correlation within groups with the mean correlation across groups.

    Args:
        correlation: (C, C), result of :class:`Correlation`; constant channels do not count.
        groups: number of groups, g; group i starts with channel i * C / g.
        shuffles: number of random assignments of the channels to the groups.
        seed: seed of the assignments.

    Returns:
        {"groups", "within" and "across": mean correlations of two channels of the same group and of
        different groups, "difference": within - across, "p": fraction of the assignments, the
        actual one included, whose difference is as large or larger, "constant": number of channels
        without a correlation}. Means, difference and p are NaN if there are no pairs to average.
    """
    group = np.arange(len(correlation)) * groups // len(correlation)
    varying = ~np.isnan(np.diag(correlation))
    correlation, group = correlation[np.ix_(varying, varying)], group[varying]
    rng = np.random.default_rng(seed)
    assignments = [group, *(rng.permutation(group) for _ in range(shuffles))]
    within, across = np.array([_means(correlation, assigned) for assigned in assignments]).T
    difference = within - across
    larger = np.mean(difference >= difference[0] - 1e-12)
    return {
        "groups": groups,
        "within": float(within[0]),
        "across": float(across[0]),
        "difference": float(difference[0]),
        "p": float(larger) if np.isfinite(difference[0]) else np.nan,
        "constant": int(len(varying) - varying.sum()),
    }


def _means(correlation: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Means over the pairs of different channels, within groups and across groups."""
    same = group[:, None] == group
    own = len(group)
    within, total = correlation[same].sum() - np.trace(correlation), correlation.sum()
    pairs = same.sum() - own
    across = own**2 - own - pairs
    return (
        within / pairs if pairs else np.nan,
        (total - np.trace(correlation) - within) / across if across else np.nan,
    )


def draw_correlation(models: dict[str, dict[str, tuple[np.ndarray, dict]]]) -> Figure:
    """Heatmaps with lines between the groups, a row for each model and a column for each place.

    Args:
        models: {place: (correlation, result of :func:`compare_groups`)} by the models' names. The
            places that all models have are drawn, except shortcuts.
    """
    places = shared_places(models)
    size = (2.3 * len(places) + 0.3, 2.6 * len(models) + 0.7)
    figure = Figure(figsize=size, dpi=200, layout="constrained")
    axes = figure.subplots(len(models), len(places), squeeze=False)
    for row, (name, maps) in zip(axes, models.items(), strict=True):
        row[0].set_ylabel(f"{literal(name)}: channel")
        for ax, place in zip(row, places, strict=True):
            shown = _draw_heatmap(ax, *maps[place])
            ax.set_title(f"{literal(place)}\n{_title(maps[place][1])}", size=8)
    add_bar(figure, shown, "correlation", ax=axes[-1, :], shrink=0.4, aspect=40)
    return figure


def _draw_heatmap(ax: Axes, correlation: np.ndarray, found: dict) -> AxesImage:
    ax.set_facecolor("0.8")  # shows at the diagonal and at constant channels
    ax.tick_params(labelsize=7)
    for border in np.arange(1, found["groups"]) * len(correlation) / found["groups"] - 0.5:
        ax.axhline(border, color="k", linewidth=0.4)
        ax.axvline(border, color="k", linewidth=0.4)
    others = np.where(np.eye(len(correlation), dtype=bool), np.nan, correlation)
    return ax.imshow(others, cmap="RdBu_r", vmin=-1, vmax=1)


def _title(found: dict) -> str:
    text = f"within {found['within']:.3f}, across {found['across']:.3f}, p {found['p']:.2g}"
    return text.replace("-", "\N{MINUS SIGN}")
