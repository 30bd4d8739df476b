"""What all consistency metrics share: shares of pairs, their mean, interval and shift lengths.

What the two crops of a pair gave is kept as a plain dict, its record, which goes to JSON as it is
and from which every score is computed:

    {"image_id": ..., "pair": 0, "offsets": [[y, x], [y, x]], "size": [height, width], ...}

with the sections that :mod:`~aa_detectron.consistency.instances`,
:mod:`~aa_detectron.consistency.label_maps` and :mod:`~aa_detectron.consistency.classes` add.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
from scipy.stats import bootstrap

SHIFT_LENGTHS = (4, 8, 16, 32, math.inf)
"""Upper ends, in pixels, of the ranges of the distance between the two offsets."""


def start_record(image_id, number: int, offsets, size) -> dict:
    """A record without sections.

    Args:
        image_id: a number or string.
        number: of the pair within the image.
        offsets: ((y, x), (y, x)) of the crops.
        size: (height, width) of both crops.
    """
    return {
        "image_id": image_id,
        "pair": number,
        "offsets": [list(offset) for offset in offsets],
        "size": list(size),
    }


def shift_length(record: dict) -> float:
    """Distance in pixels between the offsets of a pair's crops."""
    return math.dist(*record["offsets"])


def percent(shares: Iterable[float | None]) -> float:
    """Mean of shares, 0 to 1, in percent, None left out; NaN without any."""
    counted = [share for share in shares if share is not None]
    return 100 * math.fsum(counted) / len(counted) if counted else math.nan


def score_shares(
    name: str, records: list[dict], share: Callable[[dict], float | None]
) -> dict[str, float]:
    """Mean of a share over pairs, its interval, and the counts of pairs.

    Args:
        name: of the metric.
        records: of the pairs.
        share: of a record, 0 to 1; None where the pair does not count.

    Returns:
        {name, "low" and "high": the 95 % bootstrap interval over images, in percent;
        "pairs" in the mean, "empty" that do not count}.
    """
    shares = [share(record) for record in records]
    image_ids = [r["image_id"] for r, s in zip(records, shares, strict=True) if s is not None]
    low, high = bootstrap_interval([s for s in shares if s is not None], image_ids)
    return {
        name: percent(shares),
        "low": 100 * low,
        "high": 100 * high,
        "pairs": len(image_ids),
        "empty": len(records) - len(image_ids),
    }


def score_by_shift(
    name: str, records: list[dict], share: Callable[[dict], float | None]
) -> dict[str, float]:
    """The same mean for every range of :data:`SHIFT_LENGTHS`: {"<name>-shift-<end>": percent}."""
    scores = {}
    shortest = 0.0
    for longest in SHIFT_LENGTHS:
        inside = [r for r in records if shortest < shift_length(r) <= longest]
        scores[f"{name}-shift-{longest}"] = percent(map(share, inside))
        shortest = longest
    return scores


def bootstrap_interval(
    shares: list[float], image_ids: list, *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of the mean over pairs, by resampling images.

    The pairs of an image are not independent, so whole images are drawn.

    Args:
        shares: one number a pair.
        image_ids: the image of each pair.

    Returns:
        (low, high) in the unit of ``shares``; NaN with fewer than two images.
    """
    _, image = np.unique([str(i) for i in image_ids], return_inverse=True)
    sums, counts = np.bincount(image, shares), np.bincount(image)
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
    return result.confidence_interval
