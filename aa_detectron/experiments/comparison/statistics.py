"""Bootstrap over images, and intervals of means over seeds and of paired differences.

A run's score is an array (1 + R,): first the score itself, then R scores of the same predictions on
resampled images. All runs see the same resamples (:func:`image_weights`), so that differences are
paired by image.

Two things move a mean over seeds: which images were tested, and which seeds were drawn. Their
variances add up. The variance over images comes from the bootstrap. The variance over seeds comes
from the standard deviation of the seeds themselves, a poor estimate with few seeds. So each part
has its own quantile of Student's t: the half width is the root of
(t_images s_images)^2 + (t_seeds s_seeds)^2. This is exact where one part is alone, and never too
narrow: with three seeds the interval covers the truth in 95 to 98 of 100 cases. A common quantile
with Satterthwaite's degrees of freedom would be up to a quarter narrower, but cover the truth in 92
of 100 where seeds are the larger part, and percentiles of resampled seeds do so in 72 where the
seeds are all of it (tests/experiments/comparison/test_statistics.py).

An interval is of one training set and one starting point: runs share both, so the chance in either
is not part of it. And it is of one difference: among twenty differences that are truly zero, one
interval will not contain zero.

Two or three seeds say little about their own standard deviation. Where there are many variants, and
no reason why one should vary more than the others, :func:`pooled_spread` takes the standard
deviation from all of them.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t

from aa_detectron.utils.hashing import hash_key


def image_weights(images: int, resamples: int, seed: int = 0) -> np.ndarray:
    """How often each image occurs: (1 + resamples, images) integers.

    The first row is all ones, the images as they are; in each other, as many images as there are
    have been drawn with replacement. The same for the same arguments.
    """
    rng = np.random.default_rng(hash_key("resamples", seed, images))
    drawn = rng.multinomial(images, np.full(images, 1 / images), size=resamples)
    return np.concatenate([np.ones((1, images), drawn.dtype), drawn])


def weighted_mean(
    shares: Sequence[float | None], image: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Mean over pairs, in percent, of each resample.

    Args:
        shares: one number a pair, 0 to 1; None does not count.
        image: (pairs,) the column of ``weights`` of each pair's image.
        weights: of :func:`image_weights`.

    Returns:
        (1 + resamples,); NaN where no pair counts.
    """
    counts = np.array([share is not None for share in shares], float)
    values = np.array([share or 0.0 for share in shares], float)
    size = weights.shape[1]
    sums, numbers = (weights @ np.bincount(image, v, minlength=size) for v in (values, counts))
    with np.errstate(invalid="ignore"):
        return 100 * sums / numbers


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
    value = float(scores[:, 0].mean())
    over_images = float(np.nanvar(scores[:, 1:].mean(axis=0)))
    square = 0.0
    if seeds > 1:
        spread = spread or Spread(float(scores[:, 0].var(ddof=1)), seeds - 1)
        over_seeds = spread.variance / seeds
        square = _quantile(level, spread.freedom) ** 2 * over_seeds
        # What differs between images in another way for every seed is in both variances, though
        # that of the seeds, an estimate, may hold less of it.
        of_each = float(np.nanvar(scores[:, 1:], axis=1).mean())
        over_images -= min(max(0.0, of_each - over_images) / (seeds - 1), over_seeds)
    square += _quantile(level, max(images - 1, 1)) ** 2 * max(0.0, over_images)
    half = math.sqrt(square) if seeds > 1 or images > 1 else math.nan
    return Interval(value, value - half, value + half, seeds)


def _quantile(level: float, freedom: int) -> float:
    return float(t.ppf((1 + level) / 2, freedom))


def deviation(scores: np.ndarray) -> float:
    """Standard deviation over seeds of (S, 1 + R) scores; NaN of a single seed."""
    return float(scores[:, 0].std(ddof=1)) if len(scores) > 1 else math.nan
