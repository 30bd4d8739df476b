"""Intervals of means over seeds and of paired differences, over images and seeds.

A run's score is an array (1 + R,): first the score itself, then R scores of the same predictions on
resampled images. All runs see the same resamples (:mod:`.resampling`), so that differences are
paired by image.

Two things move a mean over seeds: which images were tested, and which seeds were drawn. Their
variances add up. That over images comes from the bootstrap, that over seeds from the seeds' own
standard deviation, and the interval is the one of Student's t with Satterthwaite's degrees of
freedom. Resampling the seeds, too, would not do: a percentile interval from three seeds of ten
covers the truth in some 75 of 100 cases instead of 95 (tests/comparison/test_intervals.py).

Two or three seeds say little about their own standard deviation. Where there are many variants, and
no reason why one should vary more than the others, :func:`pooled_spread` takes it from all of them.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import t


class Interval(NamedTuple):
    """A mean over seeds with its 95 % interval; all in the unit of the scores."""

    value: float
    low: float
    high: float
    """NaN, like ``low``, where there is nothing to tell it from: one seed and one image."""
    seeds: int

    @property
    def holds_zero(self) -> bool:
        """True also where the interval is not known."""
        return not (self.low > 0 or self.high < 0)


class Spread(NamedTuple):
    """How scores of one network differ between seeds."""

    variance: float
    freedom: int
    """Degrees of freedom of ``variance``."""


def pooled_spread(scores: np.ndarray) -> Spread:
    """The spread of a difference between two variants, from all variants: two-way layout.

    Args:
        scores: (V, S) of at least two variants and two seeds, V equally variable; runs of a seed
            belong together.
    """
    variants, seeds = scores.shape
    residuals = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    freedom = (variants - 1) * (seeds - 1)
    return Spread(2 * float((residuals**2).sum()) / freedom, freedom)


def paired_difference(
    first: np.ndarray, second: np.ndarray, images: int, spread: Spread | None = None
) -> Interval:
    """Mean over seeds of ``first - second``.

    Args:
        first, second: (S, 1 + R), scores of S runs each; runs in one row belong together.
        images: that were resampled.
        spread: of the difference over seeds; its own if None.
    """
    return mean_interval(first - second, images, spread=spread)


def mean_interval(
    scores: np.ndarray, images: int, level: float = 0.95, spread: Spread | None = None
) -> Interval:
    """Mean over seeds, with its interval over images and seeds; of one seed, over images alone.

    Args:
        scores: (S, 1 + R).
        images: that were resampled.
        level: of the interval.
        spread: over seeds; that of ``scores`` if None.
    """
    seeds = len(scores)
    if spread is None and seeds > 1:
        spread = Spread(float(scores[:, 0].var(ddof=1)), seeds - 1)
    value = float(scores[:, 0].mean())
    over_images = float(np.nanvar(scores[:, 1:].mean(axis=0)))
    over_seeds = spread.variance / seeds if seeds > 1 else 0.0
    # What differs between images in another way for every seed is in both variances.
    of_each = float(np.nanvar(scores[:, 1:], axis=1).mean())
    shared = max(0.0, of_each - over_images) / (seeds - 1) if seeds > 1 else 0.0
    variance = max(over_images + over_seeds - shared, over_images, over_seeds)
    if variance == 0:
        low = high = value if seeds > 1 or images > 1 else math.nan
        return Interval(value, low, high, seeds)
    # Satterthwaite: 1 / freedom is the mean of those of both, weighted by their squared shares.
    inverse = (over_images / variance) ** 2 / max(images - 1, 1)
    if seeds > 1:
        inverse += (over_seeds / variance) ** 2 / spread.freedom
    half = float(t.ppf((1 + level) / 2, 1 / inverse)) * math.sqrt(variance)
    return Interval(value, value - half, value + half, seeds)


def deviation(scores: np.ndarray) -> float:
    """Standard deviation over seeds of (S, 1 + R) scores; NaN of a single seed."""
    return float(scores[:, 0].std(ddof=1)) if len(scores) > 1 else math.nan
