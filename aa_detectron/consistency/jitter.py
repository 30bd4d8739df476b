"""Jitter: change of the instances that both crops of a pair show.

Partners are matched instances with IoU > 0.5, see
:func:`~aa_detectron.consistency.records.partners`. All scores are computed from records.
"""

import math
from collections.abc import Callable

import numpy as np

from .intervals import bootstrap_interval, score_fractions
from .records import METRICS, partners


def _drift(first: dict, second: dict) -> float:
    return math.dist(*(_center(*instance["box"]) for instance in (first, second)))


def _center(x: float, y: float, width: float, height: float) -> tuple[float, float]:
    return x + width / 2, y + height / 2


def _log_ratio(first: dict, second: dict, side: int) -> float:
    return abs(math.log(first["box"][side] / second["box"][side]))


MEASURES: dict[str, Callable[[dict, dict], float]] = {
    "drift": _drift,
    "width_ratio": lambda first, second: _log_ratio(first, second, 2),
    "height_ratio": lambda first, second: _log_ratio(first, second, 3),
}
"""Changes between the boxes of partners: center distance in pixels, log ratios of both sides."""


def score_jitter(records: list[dict], task: str) -> dict[str, float]:
    """Computes jitter and flicker of a task, NaN if nothing counts.

    Args:
        records: records of pairs, see :mod:`~aa_detectron.consistency.records`.
        task: "segm" or "bbox".

    Returns:
        "flicker", the percentage of both crops' instances without a partner, and "score_change",
        the absolute score change of partners in points. Both are means over pairs, with intervals
        ("flicker_low", ...). For boxes, also the means over all partners: "drift" of the centers in
        pixels, with its interval and its 95th percentile "drift95"; "width_ratio" and
        "height_ratio", the absolute log ratios; and "partners", the number of partners. Records
        without the field "box" have no scores of boxes.
    """
    shape = {"segm": "mask", "bbox": "box"}[task]
    scores: dict[str, float] = {}
    for name in ("flicker", "score change"):
        key = name.replace(" ", "_")
        found = score_fractions(key, records, METRICS[f"{shape} {name}"].fraction)
        scores |= {key: found[key], f"{key}_low": found["low"], f"{key}_high": found["high"]}
    return scores | (_score_boxes(records) if task == "bbox" else {})


def _score_boxes(records: list[dict]) -> dict[str, float]:
    pairs = [(r["image_id"], *both) for r in records for both in partners(r, "bbox")]
    if any("box" not in first or "box" not in second for _, first, second in pairs):
        return {}
    values = {
        name: [measure(first, second) for _, first, second in pairs]
        for name, measure in MEASURES.items()
    }
    low, high = bootstrap_interval(values["drift"], [image_id for image_id, *_ in pairs])
    scores = {
        name: math.fsum(found) / len(found) if found else math.nan for name, found in values.items()
    }
    drift95 = float(np.percentile(values["drift"], 95)) if pairs else math.nan
    extra = {"drift_low": low, "drift_high": high, "drift95": drift95, "partners": len(pairs)}
    return scores | extra
