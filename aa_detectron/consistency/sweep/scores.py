"""Scores of a sweep: a metric at every shift, and its phase gap."""

import warnings

import numpy as np

from ..records import METRICS

RESAMPLES = 2000
"""Number of resamples of the images for an interval."""


def sweep_curve(records: list[dict], metric: str) -> list[dict[str, float]]:
    """Computes a metric at every shift of a sweep.

    Args:
        records: records of a sweep.
        metric: key of :data:`~aa_detectron.consistency.records.METRICS`.

    Returns:
        for each shift at which any image counts, in order, {"shift" in pixels; "value", the mean
        over images, with "low" and "high", its 95 % bootstrap interval over images, all in percent;
        "images", the number of images in the mean}.
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
    """Computes the difference of a metric between shifts by whole strides and other shifts.

    Args:
        records, metric: see :func:`sweep_curve`.
        stride: stride P in pixels.

    Returns:
        {"gap", the mean of the curve over the shifts t > 0 that are multiples of P minus its mean
        over the other shifts t > 0; "low" and "high", its 95 % bootstrap interval over images; all
        in points}. NaN if the sweep lacks one kind of shift.
    """
    shifts, values = _table(records, metric)
    gaps = [
        _gap(np.array(shifts), _means(weights, values), stride)
        for weights in (np.ones((1, len(values))), _resample(len(values)))
    ]
    low, high = _interval(gaps[1][:, None])
    return {"gap": 100 * gaps[0].item(), "low": 100 * low.item(), "high": 100 * high.item()}


def _gap(shifts: np.ndarray, curves: np.ndarray, stride: int) -> np.ndarray:
    """Gaps (curves,) of curves (curves, shifts)."""
    aligned = (shifts > 0) & (shifts % stride == 0)
    return _mean(curves[:, aligned]) - _mean(curves[:, (shifts > 0) & ~aligned])


def _mean(curves: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an empty mean is NaN
        return np.nanmean(curves, axis=1)


def shift_along(record: dict) -> float:
    """Shift of a sweep's crop in pixels along one axis; an integer if it is whole."""
    (y0, x0), (y1, x1) = record["offsets"]
    shift = round(max(abs(y1 - y0), abs(x1 - x0)), 6)  # fractions of a pixel are rounded
    return int(shift) if shift == int(shift) else shift


def _table(records: list[dict], metric: str) -> tuple[list[float], np.ndarray]:
    """Shifts, and fractions (images, shifts), NaN if the image does not count."""
    fraction = METRICS[metric].fraction
    shifts = sorted(set(map(shift_along, records)))
    images = {key: row for row, key in enumerate(sorted({str(r["image_id"]) for r in records}))}
    values = np.full((len(images), len(shifts)), np.nan)
    columns = {shift: column for column, shift in enumerate(shifts)}
    for record in records:
        found = fraction(record)
        if found is not None:
            values[images[str(record["image_id"])], columns[shift_along(record)]] = found
    return shifts, values


def _resample(images: int) -> np.ndarray:
    """Number of draws of each image, (resamples, images); NaN with fewer than two images."""
    if images < 2:
        return np.full((1, images), np.nan)
    draw = np.random.default_rng(0)
    return draw.multinomial(images, np.full(images, 1 / images), RESAMPLES).astype(np.float64)


def _means(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Means over the drawn images that count, (resamples, shifts); NaN if none counts."""
    counted = np.isfinite(values)
    totals = weights @ np.where(counted, values, 0)
    with np.errstate(invalid="ignore"):
        return totals / (weights @ counted)


def _interval(resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile interval of each column."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column of NaN
        low, high = np.nanpercentile(resampled, [2.5, 97.5], axis=0)
    return low, high
