"""A comparison in words: which variant leads in which metric, by how much, and what is open."""

import math
from typing import NamedTuple

ACCURACY = ("mask AP", "box AP", "mIoU", "top-1")
CONSISTENCY = ("mask mAISC", "box mAISC", "mASSC", "consistency")
TERMS = {
    "AP": "COCO's average precision of boxes or masks, mean over IoU thresholds from 0.50 to 0.95; "
    "AP50 and AP75 are at one threshold.",
    "mIoU": "Mean over classes of the intersection over union of predicted and annotated pixels.",
    "top-1": "Fraction of images to which the network gives the right class.",
    "mAISC": "Mean average instance segmentation consistency: the network sees two shifted crops "
    "of an image. What counts is the fraction of instances of the first crop that the second crop "
    "shows again, with an IoU above 0.9 inside the overlap; mean over pairs of crops. mAISC75 and "
    "mAISC50 ask for an IoU above 0.75 and 0.5.",
    "mASSC": "Mean average semantic segmentation consistency: the network sees two shifted crops "
    "of an image. What counts is the fraction of pixels of the overlap with the same label in both "
    "crops; mean over pairs of crops.",
    "consistency": "Fraction of pairs of shifted crops of an image to which the network gives the "
    "same class; correct consistency counts the pairs in which at least one crop gets the right "
    "class, and asks for the right class in both.",
}
"""Explanations of the metrics, by a word of their names."""


class Contrast(NamedTuple):
    """A measured difference, seen from the variant with the higher mean."""

    leader: str
    other: str
    points: float
    low: float
    high: float
    contains_zero: bool


def verdict(results: dict) -> list[str]:
    """Sentences on the main accuracy and the main consistency.

    Args:
        results: return value of :func:`.results.collect`.
    """
    found = list(next(iter(results["variants"].values()))["scores"])
    firsts = [next((m for m in names if m in found), None) for names in (ACCURACY, CONSISTENCY)]
    main = [metric for metric in firsts if metric] or found[:1]
    sentences = [_sentence(results, metric) for metric in main]
    if len(results["variants"]) > 1 and not results["differences"]:
        sentences.append("No variant is a baseline, so no difference was measured.")
    if len(results["seeds"]) == 1 and results["differences"]:
        sentences.append(
            "A single seed does not tell whether another training would reverse the order: "
            "the intervals are over images only."
        )
    return sentences


def contrasts(results: dict, metric: str) -> list[Contrast]:
    """All measured differences of a metric; without variants that have no value."""
    return [
        _contrast(d)
        for d in results["differences"]
        if d["metric"] == metric and not math.isnan(d["value"])
    ]


def _contrast(difference: dict) -> Contrast:
    leader, other = difference["variant"], difference["baseline"]
    points, low, high = (difference[key] for key in ("value", "low", "high"))
    if points < 0:
        leader, other = other, leader
        points, low, high = -points, -high, -low
    return Contrast(leader, other, points, low, high, difference["holds_zero"])


def _sentence(results: dict, metric: str) -> str:
    means = {name: v["scores"][metric]["mean"] for name, v in results["variants"].items()}
    unknown = [name for name, mean in means.items() if math.isnan(mean)]
    known = {name: mean for name, mean in means.items() if name not in unknown}
    if not known:
        return f"No variant has a value in {metric}."
    text = _about_best(results, metric, known)
    return text if not unknown else f"{text} {_listed(unknown)} no value in {metric}."


def _listed(names: list[str]) -> str:
    """The names and the verb: "a has", "a, b and c have"."""
    *others, last = names
    return f"{', '.join(others)} and {last} have" if others else f"{last} has"


def _about_best(results: dict, metric: str, means: dict[str, float]) -> str:
    best = max(means, key=lambda name: means[name])
    found = [c for c in contrasts(results, metric) if best in (c.leader, c.other)]
    if not found:
        return f"{best} reaches {means[best]:.1f} % {metric}."
    of_baselines = [c for c in found if _other(c, best) in results["baselines"]]
    closest = sorted(found, key=lambda c: c.points)[:2]
    shown = found if len(found) < 3 else of_baselines[:2] or closest
    leads = [c for c in shown if not c.contains_zero]
    level = [c for c in shown if c.contains_zero]
    parts = []
    if leads:
        first, *others = leads
        text = f"{best} leads {_other(first, best)} by {_points(first)} points {metric}"
        text += f" ({_interval(first, '95 % interval ')})"
        parts.append(" and ".join([text, *(_further_lead(c, best) for c in others)]))
    if level:
        pairs = " or ".join(
            f"between {best} and {_other(c, best)} ({_interval(c, '95 % interval ')})"
            for c in level
        )
        parts.append(f"there is no measurable difference in {metric} {pairs}")
    return _capitalized("; ".join(parts)) + "." + _how_many(results, metric)


def _how_many(results: dict, metric: str) -> str:
    """How many of three or more variants differ measurably from the first baseline."""
    baseline = results["baselines"][0]
    found = [c for c in contrasts(results, metric) if baseline in (c.leader, c.other)]
    if len(found) < 3:
        return ""
    above = sum(c.other == baseline and not c.contains_zero for c in found)
    below = sum(c.leader == baseline and not c.contains_zero for c in found)
    return (
        f" Of {len(found)} variants compared with {baseline}, {above} lead and {below} trail "
        f"measurably; {len(found) - above - below} without a measurable difference."
    )


def _further_lead(contrast: Contrast, best: str) -> str:
    return f"{_other(contrast, best)} by {_points(contrast)} ({_interval(contrast)})"


def _other(contrast: Contrast, name: str) -> str:
    return contrast.other if contrast.leader == name else contrast.leader


def _decimals(contrast: Contrast) -> int:
    """Number of decimals, 1 to 3: enough to show on which side of zero the ends are."""
    numbers = contrast.low, contrast.high
    return next((d for d in range(1, 4) if all(round(n, d) for n in numbers)), 1)


def _points(contrast: Contrast) -> str:
    return f"{contrast.points:.{_decimals(contrast)}f}"


def _interval(contrast: Contrast, name: str = "") -> str:
    if math.isnan(contrast.low):
        return "no interval"
    decimals = _decimals(contrast)
    # "+ 0.0" turns -0.0 into 0.0.
    low, high = (round(end, decimals) + 0.0 for end in (contrast.low, contrast.high))
    return f"{name}{low:.{decimals}f} to {high:.{decimals}f}"


def _capitalized(text: str) -> str:
    """Capitalizes the text unless it starts with the name of a variant."""
    return "T" + text[1:] if text.startswith("there is") else text


def pair_lines(results: dict, metrics: list[str]) -> list[str]:
    """One line for each compared pair of variants, with several metrics.

    Args:
        results: return value of :func:`.results.collect`.
        metrics: names of the metrics.
    """
    pairs = dict.fromkeys((d["variant"], d["baseline"]) for d in results["differences"])
    lines = []
    for variant, baseline in pairs:
        found = {
            d["metric"]: d
            for d in results["differences"]
            if (d["variant"], d["baseline"]) == (variant, baseline) and d["metric"] in metrics
        }
        groups: dict[str, list[str]] = {
            name: []
            for name in ("leads in", "trails in", "no measurable difference in", "no value in")
        }
        for metric, difference in found.items():
            lead = "leads in" if difference["value"] > 0 else "trails in"
            group = "no measurable difference in" if difference["holds_zero"] else lead
            group = "no value in" if math.isnan(difference["value"]) else group
            points = "" if difference["holds_zero"] else f" by {_points(_contrast(difference))}"
            groups[group].append(metric + points)
        said = [f"{group} {'; '.join(names)}" for group, names in groups.items() if names]
        lines.append(f"{variant} against {baseline}: {'. '.join(map(_upper, said))}.")
    return lines


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def terms(metrics: list[str]) -> dict[str, str]:
    """Explanations of the terms in a report.

    Args:
        metrics: names of the report's metrics.

    Returns:
        {term: explanation}.
    """
    return {term: text for term, text in TERMS.items() if any(term in name for name in metrics)}
