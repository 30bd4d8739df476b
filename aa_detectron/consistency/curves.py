"""Consistency by shift length: how it drops as the crops move apart."""

import math

from .intervals import score_fractions
from .records import MAIN_METRICS, METRICS, Fraction, shift_length


def drop_curve(records: list[dict], section: str, width: float = 4) -> list[dict]:
    """The main metric of a section by shift length.

    Args:
        records: records of the pairs. Those without the section do not count.
        section: one of :data:`~aa_detectron.consistency.records.MAIN_METRICS`.
        width: width of the ranges of shift length, in pixels. The first is above 0 and up to
            ``width``.

    Returns:
        for each range that has pairs, in order, {"from" (excluded), "to", "length": mean of its
        pairs, all three in pixels; "consistency": the metric, "low", "high", in percent; "pairs"}.
    """
    fraction = METRICS[MAIN_METRICS[section]].fraction
    ranges: dict[int, list[dict]] = {}
    for record in records:
        if section in record and fraction(record) is not None:
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
    """:func:`drop_curve` for every section that the records have, {section: curve}."""
    curves = {section: drop_curve(records, section) for section in MAIN_METRICS}
    return {section: curve for section, curve in curves.items() if curve}
