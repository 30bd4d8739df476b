"""Coverage by simulation, and limits in which Student's t and the bootstrap are known."""

import math

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp

from aa_detectron.experiments.comparison.statistics import (
    Interval,
    image_weights,
    mean_interval,
    paired_difference,
    pooled_spread,
    weighted_mean,
)

IMAGES = 120
SPREADS = {  # standard deviations of seeds, of images, and of both together
    "images": (0, 1, 0),
    "seeds": (1, 0, 0),
    "seeds above all": (3, 1, 1),
    "both": (1, 1, 1),
    "interaction": (0.3, 1, 5),
}


def draw_scores(rng, seeds, spread, mean=0.0):
    """Scores of paired runs whose true difference is ``mean``: (seeds, 1 + R)."""
    of_seed, of_image, of_both = spread
    fractions = mean + rng.normal(0, 0.1 * of_seed, (seeds, 1)) + rng.normal(0, of_image, IMAGES)
    fractions = fractions + rng.normal(0, of_both, (seeds, IMAGES))
    return fractions @ (image_weights(IMAGES, 200) / IMAGES).T


def percentile_interval(rng, scores):
    """An alternative: seeds and images drawn with replacement."""
    seeds, resamples = len(scores), scores.shape[1] - 1
    drawn = rng.integers(0, seeds, (resamples, seeds))
    means = scores[drawn, np.arange(1, resamples + 1)[:, None]].mean(axis=1)
    return np.percentile(means, (2.5, 97.5))


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("spread", SPREADS)
def test_two_copies_of_a_model_do_not_differ_in_95_of_100_trials(seeds, spread):
    rng = np.random.default_rng(seeds)
    trials = 400
    intervals = [
        mean_interval(draw_scores(rng, seeds, SPREADS[spread]), IMAGES) for _ in range(trials)
    ]
    held = sum(interval.holds_zero for interval in intervals) / trials
    assert 0.935 <= held <= 0.995  # 0.95 or more, up to a standard error of 0.011


def satterthwaite_interval(scores):
    """An alternative: one quantile for both parts, with degrees of freedom in between."""
    seeds, resampled = len(scores), scores[:, 1:]
    both = np.array([resampled.mean(axis=0).var(), scores[:, 0].var(ddof=1) / seeds])
    shared = max(0, resampled.var(axis=1).mean() - both[0]) / (seeds - 1)
    variance = max(both.sum() - shared, both.max())
    freedom = 1 / ((both / variance) ** 2 / (IMAGES - 1, seeds - 1)).sum()
    half = t.ppf(0.975, freedom) * math.sqrt(variance)
    return Interval(scores[:, 0].mean(), scores[:, 0].mean() - half, scores[:, 0].mean() + half, 3)


def test_a_common_quantile_would_be_too_narrow():
    """Three seeds, whose variance is ten times the variance over images: ours is wide enough."""
    held = np.zeros(2)
    for trial in range(1500):
        scores = draw_scores(np.random.default_rng([9, trial]), 3, (5, 1, 0))
        held += mean_interval(scores, IMAGES).holds_zero, satterthwaite_interval(scores).holds_zero
    ours, common = held / 1500
    assert ours >= 0.945 and common < 0.94


def test_percentiles_over_three_seeds_would_be_too_narrow():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        low, high = percentile_interval(rng, draw_scores(rng, 3, SPREADS["seeds"]))
        held += low <= 0 <= high
    assert held / 400 < 0.82


@pytest.mark.parametrize("spread", SPREADS)
def test_a_planted_difference_is_found(spread):
    rng = np.random.default_rng(1)
    of_seed, of_image, of_both = SPREADS[spread]
    error = math.sqrt((0.1 * of_seed) ** 2 / 5 + (of_image**2 + of_both**2 / 5) / IMAGES)
    for sign in (-1, 1):
        mean = sign * 8 * error
        found = mean_interval(draw_scores(rng, 5, SPREADS[spread], mean), IMAGES)
        assert not found.holds_zero and found.value * sign > 0


def test_seeds_alone_are_students_t():
    scores = np.array([61.0, 64.5, 62.2, 60.1])
    found = mean_interval(np.repeat(scores[:, None], 50, axis=1), IMAGES)
    expected = ttest_1samp(scores, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.value == pytest.approx(scores.mean()) and found.seeds == 4


@pytest.mark.parametrize("images", [5, 10, IMAGES])
def test_images_alone_are_students_t(images):
    fractions = np.random.default_rng(0).random(images)
    scores = (fractions @ (image_weights(images, 20000) / images).T)[None]
    found = mean_interval(scores, images)
    expected = ttest_1samp(fractions, 0).confidence_interval(0.95)
    assert found.value == pytest.approx(fractions.mean())
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.02)


def test_pairing_removes_what_both_share():
    rng = np.random.default_rng(0)
    weights = image_weights(IMAGES, 200) / IMAGES
    hardness = rng.normal(0, 10, IMAGES)
    first, second = (
        (hardness + shift + rng.normal(0, 0.1, (3, IMAGES))) @ weights.T for shift in (0.2, 0)
    )
    assert not paired_difference(first, second, IMAGES).holds_zero
    assert paired_difference(second, second, IMAGES)[:4] == (0, 0, 0, 3)
    unpaired = mean_interval(first, IMAGES)
    assert unpaired.high - unpaired.low > 2  # of images that differ by 10


def test_one_seed_and_one_image_have_no_interval():
    found = mean_interval(np.full((1, 11), 3.0), 1)
    assert math.isnan(found.low) and math.isnan(found.high) and found.holds_zero


def formula(scores, images):
    """The interval of the module's docstring, for images that all count."""
    seeds, resampled, unbiased = len(scores), scores[:, 1:], images / (images - 1)
    over_images, over_seeds = unbiased * resampled.mean(axis=0).var(), 0.0
    if seeds > 1:
        over_seeds = scores[:, 0].var(ddof=1) / seeds
        of_each = unbiased * resampled.var(axis=1).mean()
        interaction = max(0.0, of_each - over_images) / (seeds - 1)
        over_images -= min(interaction, over_seeds)
    square = t.ppf(0.975, images - 1) ** 2 * max(0.0, over_images)
    square += t.ppf(0.975, seeds - 1) ** 2 * over_seeds if seeds > 1 else 0
    return scores[:, 0].mean(), math.sqrt(square)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
@pytest.mark.parametrize("spread", SPREADS)
def test_if_all_images_count_the_interval_is_the_formula(seeds, spread):
    scores = draw_scores(np.random.default_rng(seeds), seeds, SPREADS[spread], mean=1)
    found = mean_interval(scores, IMAGES)
    value, half = formula(scores, IMAGES)
    assert found[:3] == pytest.approx((value, value - half, value + half), rel=1e-12)


def scores_of_pairs(fractions, seeds):
    """Scores of runs with one pair per image, all with these fractions: (seeds, 1 + R)."""
    weights = image_weights(len(fractions), 1000)
    return np.repeat(weighted_mean(fractions, np.arange(len(fractions)), weights)[None], seeds, 0)


@pytest.mark.parametrize("seeds", [1, 3])
def test_an_image_that_counts_alone_gives_no_interval(seeds):
    first, second = (scores_of_pairs([value] + [None] * 49, seeds) for value in (0.5, 0.4))
    found = paired_difference(first, second, 1)
    assert found.value == pytest.approx(10)
    assert math.isnan(found.low) and math.isnan(found.high) and found.holds_zero


def test_few_images_that_count_widen_the_interval():
    scores = scores_of_pairs([0.2, 0.4, 0.9] + [None] * 47, 1)
    found, all_counted = mean_interval(scores, 3), mean_interval(scores, 50)
    assert found.parts[0].freedom == 2
    ratio = (found.high - found.low) / (all_counted.high - all_counted.low)
    unbiased = math.sqrt((3 / 2) / (50 / 49))
    assert ratio == pytest.approx(unbiased * t.ppf(0.975, 2) / t.ppf(0.975, 49))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_variance_that_is_unknown_is_not_zero(seeds):
    scores = np.full((seeds, 11), np.nan)
    scores[:, 0] = np.arange(seeds)
    found = mean_interval(scores, 20)
    assert math.isnan(found.parts[0].variance) and math.isnan(found.low) and found.holds_zero
    scores[0] = np.nan  # one seed has no value at all
    scores[1:] = 3
    assert math.isnan(mean_interval(scores, 20).value) and mean_interval(scores, 20).holds_zero


def test_two_pooled_variants_have_the_spread_of_their_difference():
    first, second = np.random.default_rng(0).normal(0, 1, (2, 4))
    spread = pooled_spread(np.stack([first, second]))
    assert spread.freedom == 3 and spread.variance == pytest.approx((first - second).var(ddof=1))


def test_a_variant_without_a_value_is_left_out_of_the_pooled_spread():
    scores = np.random.default_rng(0).normal(50, 1, (4, 3))
    expected = pooled_spread(scores[[0, 1, 3]])
    scores[2, 1] = np.nan
    assert pooled_spread(scores) == expected and expected.variance > 0
    scores[:2, 0] = np.nan
    assert pooled_spread(scores) is None


def test_pooled_with_quieter_variants_no_interval_is_narrower_than_of_images_alone():
    """Two variants differ more between seeds and images than the eight others say."""
    for trial in range(50):
        rng = np.random.default_rng([7, trial])
        scores = np.stack([draw_scores(rng, 3, (0, 0, 1 if n < 2 else 0.3)) for n in range(10)])
        found = paired_difference(*scores[:2], IMAGES, pooled_spread(scores[..., 0]))
        over_images = (scores[0] - scores[1])[:, 1:].mean(axis=0).std()
        assert found.high - found.low >= 2 * 1.96 * over_images


@pytest.mark.parametrize("spread", SPREADS)
def test_pooled_over_ten_variants_two_seeds_suffice(spread):
    """They contain zero in 95 of 100 trials, and are narrower than intervals of two seeds alone."""
    rng = np.random.default_rng(3)
    held, widths, own_widths = 0, [], []
    for _ in range(400):
        of_seed = rng.normal(0, 5, (2, 1))  # the same for all variants: paired away
        scores = np.stack([draw_scores(rng, 2, SPREADS[spread]) + of_seed for _ in range(10)])
        first, second = scores[:2]
        found = paired_difference(first, second, IMAGES, pooled_spread(scores[..., 0]))
        own = paired_difference(first, second, IMAGES)
        held += found.holds_zero
        widths.append(found.high - found.low)
        own_widths.append(own.high - own.low)
    assert 0.935 <= held / 400 <= 0.995
    assert np.mean(widths) < np.mean(own_widths) * {"seeds": 0.4}.get(spread, 1.02)


def test_weights():
    weights = image_weights(50, 300)
    assert weights.shape == (301, 50) and (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 50).all()
    np.testing.assert_array_equal(weights, image_weights(50, 300))
    assert (weights != image_weights(50, 300, seed=1)).any()
    # With replacement, an image is left out of a resample with probability (1 - 1/50)^50.
    assert abs((weights[1:] == 0).mean() - (1 - 1 / 50) ** 50) < 0.01


def test_mean_of_resamples_is_that_of_repeated_pairs():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 6, 40)
    fractions = [None if rng.random() < 0.2 else float(rng.random()) for _ in image]
    weights = image_weights(6, 20)
    expected = []
    for row in weights:
        repeated = [s for s, i in zip(fractions, image, strict=True) for _ in range(row[i])]
        expected.append(100 * np.mean([s for s in repeated if s is not None]))
    np.testing.assert_allclose(weighted_mean(fractions, image, weights), expected)


def test_nothing_that_counts():
    weights = np.array([[1, 1], [2, 0], [0, 2]])
    np.testing.assert_array_equal(
        weighted_mean([None, 0.5], np.array([0, 1]), weights), [50, np.nan, 50]
    )
