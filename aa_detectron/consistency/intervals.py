"""Means over pairs, in percent, with bootstrap intervals over images."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.stats import bootstrap

from .records import Fraction, shift_length

SHIFT_LENGTHS = (4, 8, 16, 32, math.inf)
"""Upper ends of the ranges of the distance between the two offsets, in pixels."""


def percent(fractions: Iterable[float | None]) -> float:
    """Mean of fractions, 0 to 1, in percent, without None; NaN if there are none."""
    counted = [fraction for fraction in fractions if fraction is not None]
    return 100 * math.fsum(counted) / len(counted) if counted else math.nan


def score_fractions(name: str, records: list[dict], fraction: Fraction) -> dict[str, float]:
    """Computes the mean of a fraction over pairs, its interval, and the counts of pairs.

    Args:
        name: name of the metric.
        records: records of the pairs.
        fraction: function of a record, see :data:`~aa_detectron.consistency.records.METRICS`.

    Returns:
        {name: mean, "low" and "high": 95 % bootstrap interval over images, all in percent;
        "pairs": number of pairs in the mean, "empty": number of pairs that do not count}.
    """
    fractions = [fraction(record) for record in records]
    image_ids = [r["image_id"] for r, f in zip(records, fractions, strict=True) if f is not None]
    low, high = bootstrap_interval([f for f in fractions if f is not None], image_ids)
    return {
        name: percent(fractions),
        "low": 100 * low,
        "high": 100 * high,
        "pairs": len(image_ids),
        "empty": len(records) - len(image_ids),
    }


def score_by_shift(name: str, records: list[dict], fraction: Fraction) -> dict[str, float]:
    """Mean of a fraction per range of :data:`SHIFT_LENGTHS`: {"<name>-shift-<end>": percent}."""
    scores = {}
    shortest = 0.0
    for longest in SHIFT_LENGTHS:
        inside = [r for r in records if shortest < shift_length(r) <= longest]
        scores[f"{name}-shift-{longest}"] = percent(map(fraction, inside))
        shortest = longest
    return scores


def bootstrap_interval(
    values: Sequence[float], image_ids: Sequence, *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Computes the 95 % percentile interval of the mean over pairs, by resampling images.

    The pairs of an image are not independent, so whole images are drawn.

    Args:
        values: value of each pair.
        image_ids: image id of each pair; its ``str`` counts.
        resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        (low, high) in the unit of ``values``; NaN with fewer than two images.
    """
    _, image = np.unique([str(i) for i in image_ids], return_inverse=True)
    sums, counts = np.bincount(image, values), np.bincount(image)
    if len(counts) < 2:
        return math.nan, math.nan
    result = bootstrap(
        (sums, counts),
        lambda s, n, axis: s.sum(axis) / n.sum(axis),
        paired=True,
        method="percentile",
        n_resamples=resamples,
        batch=100,
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return float(low), float(high)
