import numpy as np

from aa_detectron.experiments.comparison.resampling import image_weights, weighted_mean


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
    shares = [None if rng.random() < 0.2 else float(rng.random()) for _ in image]
    weights = image_weights(6, 20)
    expected = []
    for row in weights:
        repeated = [s for s, i in zip(shares, image, strict=True) for _ in range(row[i])]
        expected.append(100 * np.mean([s for s in repeated if s is not None]))
    np.testing.assert_allclose(weighted_mean(shares, image, weights), expected)


def test_nothing_that_counts():
    weights = np.array([[1, 1], [2, 0], [0, 2]])
    np.testing.assert_array_equal(
        weighted_mean([None, 0.5], np.array([0, 1]), weights), [50, np.nan, 50]
    )
