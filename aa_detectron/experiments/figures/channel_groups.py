"""Whether channels of one group resemble each other (Zou et al., BMVC 2020, section 4).

The filters of a group are shared by neighbouring channels; training is to bring together in a
group what wants the same filter.
"""

import math
from collections.abc import Iterable

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from aa_detectron.experiments.figures.style import add_bar

from .recording import adaptive_filters, record_image, shared_places

ROUNDING = 1e-12
"""Of a mean square: less variance than this is none."""


class Correlation:
    """Pearson's correlation of channels over all locations of all maps that are added.

    Args:
        channels: C.
    """

    def __init__(self, channels: int):
        self.count = 0
        self.sums = torch.zeros(channels, dtype=torch.float64)
        self.products = torch.zeros(channels, channels, dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        """Takes a map, (N, C, H, W), of any size in space."""
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
    """Correlation of the channels that go into the adaptive filters of a backbone.

    Args:
        model: of Detectron2, in evaluation mode.
        items: its inputs for some images.

    Returns:
        {place: (of :class:`Correlation`, number of groups)}.

    Raises:
        InputError: the backbone has no adaptive filters.
    """
    filters, found = adaptive_filters(model.backbone), {}
    for item in items:
        for place, x in record_image(model, item)[0].items():
            found.setdefault(place, Correlation(x.shape[1])).add(x)
    return {place: (sums.result(), filters[place].groups) for place, sums in found.items()}


def compare_groups(
    correlation: np.ndarray, groups: int, *, shuffles: int = 999, seed: int = 0
) -> dict[str, float]:
    """Mean correlation of two channels of one group against that of two of different groups.

    Args:
        correlation: (C, C) of :class:`Correlation`; constant channels do not count.
        groups: g; group i has the channels from i * C / g on.
        shuffles: random assignments of the channels to the groups.

    Returns:
        {"groups", "within", "across", "difference" of the two, "p": share of random assignments,
        the actual one among them, whose difference is as large or larger, "constant": number of
        channels without a correlation}; means, difference and p are NaN where there are no pairs
        of one kind.
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
    """Mean over the pairs of different channels within groups, and across."""
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
        models: by name: {place: (correlation, what :func:`compare_groups` finds in it)}; places
            that all have are drawn, but for shortcuts.
    """
    places = shared_places(models)
    size = (2.3 * len(places) + 0.3, 2.6 * len(models) + 0.7)
    figure = Figure(figsize=size, dpi=200, layout="constrained")
    axes = figure.subplots(len(models), len(places), squeeze=False)
    for row, (name, maps) in zip(axes, models.items(), strict=True):
        row[0].set_ylabel(f"{name}: channel")
        for ax, place in zip(row, places, strict=True):
            shown = _draw_heatmap(ax, *maps[place])
            ax.set_title(f"{place}\n{_title(maps[place][1])}", size=8)
    add_bar(figure, shown, "correlation", ax=axes[-1, :], shrink=0.4, aspect=40)
    return figure


def _draw_heatmap(ax, correlation: np.ndarray, found: dict):
    ax.set_facecolor("0.8")  # of the diagonal and of constant channels
    ax.tick_params(labelsize=7)
    for border in np.arange(1, found["groups"]) * len(correlation) / found["groups"] - 0.5:
        ax.axhline(border, color="k", linewidth=0.4)
        ax.axvline(border, color="k", linewidth=0.4)
    others = np.where(np.eye(len(correlation), dtype=bool), np.nan, correlation)
    return ax.imshow(others, cmap="RdBu_r", vmin=-1, vmax=1)


def _title(found: dict) -> str:
    text = f"within {found['within']:.3f}, across {found['across']:.3f}, p {found['p']:.2g}"
    return text.replace("-", "\N{MINUS SIGN}")
