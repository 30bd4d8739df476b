"""Consistency by shift length: its drop as the crops move apart."""

import math

from .intervals import score_fractions
from .records import MAIN_METRICS, METRICS, Fraction, shift_length


def drop_curve(records: list[dict], section: str, width: float = 4) -> list[dict]:
    """Computes the main metric of a section by shift length.

    Args:
        records: records of the pairs. Records without the section do not count.
        section: key of :data:`~aa_detectron.consistency.records.MAIN_METRICS`.
        width: width of the ranges of shift length in pixels. The first range is above 0 and up to
            ``width``.

    Returns:
        for each range with pairs, in order, {"from" (excluded), "to" and "length", the mean shift
        length of its pairs, all in pixels; "consistency", the metric, with "low" and "high", all in
        percent; "pairs", the number of pairs}.
    """
    fraction = METRICS[MAIN_METRICS[section]].fraction
    ranges: dict[int, list[dict]] = {}
    for record in records:
        moved = shift_length(record) > 0  # the first crop of a sweep is compared with itself
        if moved and section in record and fraction(record) is not None:
            ranges.setdefault(math.ceil(shift_length(record) / width), []).append(record)
    return [
        {"from": (number - 1) * width, "to": number * width} | _point(ranges[number], fraction)
        for number in sorted(ranges)
    ]


def _point(records: list[dict], fraction: Fraction) -> dict[str, float]:
    scores = score_fractions("consistency", records, fraction)
    length = math.fsum(map(shift_length, records)) / len(records)
    return {"length": length} | {k: scores[k] for k in ("consistency", "low", "high", "pairs")}


def drop_curves(records: list[dict]) -> dict[str, list[dict]]:
    """Curves of :func:`drop_curve` for every section of the records, {section: curve}."""
    curves = {section: drop_curve(records, section) for section in MAIN_METRICS}
    return {section: curve for section, curve in curves.items() if curve}
