"""Scores of the same predictions on resampled images: the bootstrap, with images for a unit."""

from collections.abc import Sequence

import numpy as np

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
