"""Scores of a sweep: a metric at every shift, and its phase gap."""

import warnings

import numpy as np

from .records import METRICS

RESAMPLES = 2000
"""Resamples of the images for an interval."""


def sweep_curve(records: list[dict], metric: str) -> list[dict[str, float]]:
    """A metric at every shift of a sweep.

    Args:
        records: of a sweep; "pair" is the shift in pixels.
        metric: one of :data:`~aa_detectron.consistency.records.METRICS`.

    Returns:
        for each shift at which any image counts, in order, {"shift", "value": mean over images,
        "low", "high": its 95 % bootstrap interval over images, all three in percent; "images":
        number in the mean}.
    """
    shifts, values = _table(records, metric)
    weights = _resample(len(values))
    low, high = _interval(_means(weights, values))
    means = _means(np.ones((1, len(values))), values)[0]
    counts = np.isfinite(values).sum(axis=0)
    columns = 100 * means, 100 * low, 100 * high, counts
    return [
        dict(zip(("shift", "value", "low", "high", "images"), point, strict=True))
        for point in zip(shifts, *(column.tolist() for column in columns), strict=True)
        if point[-1]
    ]


def phase_gap(records: list[dict], metric: str, stride: int) -> dict[str, float]:
    """How much higher a metric is at shifts by whole strides than at all others.

    Args:
        records, metric: as in :func:`sweep_curve`.
        stride: P in pixels.

    Returns:
        {"gap": mean of the curve over the shifts t > 0 that are multiples of P minus its mean over
        the other t > 0, "low", "high": its 95 % bootstrap interval over images; all in points}. NaN
        where the sweep has no shift of one kind.
    """
    shifts, values = _table(records, metric)
    gaps = [
        _gap(np.array(shifts), _means(weights, values), stride)
        for weights in (np.ones((1, len(values))), _resample(len(values)))
    ]
    low, high = _interval(gaps[1][:, None])
    return {"gap": 100 * gaps[0].item(), "low": 100 * low.item(), "high": 100 * high.item()}


def _gap(shifts: np.ndarray, curves: np.ndarray, stride: int) -> np.ndarray:
    """(curves,) gaps of (curves, shifts)."""
    aligned = (shifts > 0) & (shifts % stride == 0)
    return _mean(curves[:, aligned]) - _mean(curves[:, (shifts > 0) & ~aligned])


def _mean(curves: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing is NaN
        return np.nanmean(curves, axis=1)


def _table(records: list[dict], metric: str) -> tuple[list[int], np.ndarray]:
    """Shifts, and (images, shifts) fractions, NaN where one does not count."""
    fraction = METRICS[metric].fraction
    shifts = sorted({record["pair"] for record in records})
    images = {key: row for row, key in enumerate(sorted({str(r["image_id"]) for r in records}))}
    values = np.full((len(images), len(shifts)), np.nan)
    columns = {shift: column for column, shift in enumerate(shifts)}
    for record in records:
        found = fraction(record)
        if found is not None:
            values[images[str(record["image_id"])], columns[record["pair"]]] = found
    return shifts, values


def _resample(images: int) -> np.ndarray:
    """(resamples, images) how often each image is drawn; NaN with fewer than two images."""
    if images < 2:
        return np.full((1, images), np.nan)
    draw = np.random.default_rng(0)
    return draw.multinomial(images, np.full(images, 1 / images), RESAMPLES).astype(np.float64)


def _means(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(resamples, shifts) means over the drawn images that count; NaN where none does."""
    counted = np.isfinite(values)
    totals = weights @ np.where(counted, values, 0)
    with np.errstate(invalid="ignore"):
        return totals / (weights @ counted)


def _interval(resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile interval of each column."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any number
        low, high = np.nanpercentile(resampled, [2.5, 97.5], axis=0)
    return low, high
