"""The bootstrap interval of all metrics."""

import math

import numpy as np
import pytest

from aa_detectron.consistency.intervals import bootstrap_interval


def test_interval():
    # Two images, one of them with two pairs. Resampled means are 0, 2/3 or 1.
    low, high = bootstrap_interval([1.0, 1.0, 0.0], ["a", "a", "b"])
    assert (low, high) == (0.0, 1.0)
    shares = np.random.default_rng(0).random(400)
    low, high = bootstrap_interval(list(shares), list(range(400)))
    standard_error = shares.std() / 20
    assert low == pytest.approx(shares.mean() - 1.96 * standard_error, abs=0.2 * standard_error)
    assert high == pytest.approx(shares.mean() + 1.96 * standard_error, abs=0.2 * standard_error)


def test_interval_resamples_images_not_pairs():
    """Copies of the same pair are no new evidence."""
    shares = list(np.random.default_rng(0).random(50))
    once = bootstrap_interval(shares, list(range(50)))
    often = bootstrap_interval(shares * 10, list(range(50)) * 10)
    assert often == pytest.approx(once)


def test_interval_of_one_image():
    assert all(math.isnan(end) for end in bootstrap_interval([1.0], [1]))
