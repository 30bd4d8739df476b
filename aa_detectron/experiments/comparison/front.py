"""The front of a comparison: the variants that no other variant beats in one of two metrics without
losing in the other.

The front is made of means over seeds, so chance can move a variant onto it or off it. What is
measured are the differences from the baselines, with the intervals of :mod:`.statistics`.
"""

import math
from collections.abc import Sequence

from tabulate import tabulate

from .cells import format_difference, plain_line

NOTE = (
    "The front is made of means, so chance can move a variant onto it or off it; the intervals of "
    "the differences show what is measurable."
)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each point is on the Pareto front, where larger numbers are better.

    A point is off the front if another point is at least as large in both numbers and larger in
    one. Equal points are on the front together. A point with NaN is off the front, and keeps no
    other point off it.

    Args:
        points: two numbers for each point.
    """
    return [
        not any(map(math.isnan, point)) and not any(_dominates(other, point) for other in points)
        for point in points
    ]


def _dominates(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return first[0] >= second[0] and first[1] >= second[1] and first != second


def find_front(variants: dict, metrics: Sequence[str]) -> dict | None:
    """The variants on the front.

    Args:
        variants: the "variants" of :func:`.results.collect`.
        metrics: two metrics, x and y, or none.

    Returns:
        {"metrics": [x, y], "variants": names in order of rising x}; None without metrics.
    """
    if not metrics:
        return None
    means = {name: _means(variant, metrics) for name, variant in variants.items()}
    is_on = pareto_front(list(means.values()))
    found = [name for name, is_found in zip(means, is_on, strict=True) if is_found]
    return {"metrics": list(metrics), "variants": sorted(found, key=lambda name: means[name])}


def _means(variant: dict, metrics: Sequence[str]) -> tuple[float, float]:
    x, y = (variant["scores"][metric]["mean"] for metric in metrics)
    return x, y


def front_sentence(results: dict) -> str:
    """Which variants are on the front.

    Args:
        results: return value of :func:`.results.collect` for a plan with ``front``.
    """
    names, total = results["front"]["variants"], len(results["variants"])
    axes = " and ".join(results["front"]["metrics"])
    if not names:
        return f"No variant has a value in both {axes}."
    verb = "is" if len(names) == 1 else "are"
    variants = "variant" if total == 1 else "variants"
    text = f"{len(names)} of {total} {variants} {verb} on the front of {axes}: {'; '.join(names)}."
    if len(names) == total:
        return text
    which = "it" if len(names) == 1 else "one of them"
    return f"{text} No other variant beats {which} in one metric without losing in the other."


def front_table(results: dict) -> tuple[list[str], list[list[str]]]:
    """The variants on the front, and their differences from the baselines.

    Args:
        results: return value of :func:`.results.collect` for a plan with ``front``.

    Returns:
        the headers, and a row of texts for each variant on the front.
    """
    names, metrics = results["front"]["variants"], results["front"]["metrics"]
    compared = {d[side] for d in results["differences"] for side in ("variant", "baseline")}
    baselines = [name for name in results["baselines"] if name in compared]
    headers = ["on the front", *metrics]
    headers += [f"{metric} against {baseline}" for baseline in baselines for metric in metrics]
    rows = [
        [
            name,
            *(f"{mean:.2f}" for mean in _means(results["variants"][name], metrics)),
            *(
                format_difference(_margin(results, metric, name, baseline))
                for baseline in baselines
                for metric in metrics
            ),
        ]
        for name in names
    ]
    return headers, rows


def _margin(results: dict, metric: str, variant: str, baseline: str) -> dict | None:
    """The difference ``variant`` - ``baseline``, also if it was measured the other way around."""
    found = {
        (d["variant"], d["baseline"]): d for d in results["differences"] if d["metric"] == metric
    }
    turned = found.get((baseline, variant))
    if turned is None:
        return found.get((variant, baseline))
    ends = {"value": -turned["value"], "low": -turned["high"], "high": -turned["low"]}
    return turned | ends


def front_markdown(results: dict) -> str:
    """A section for the table of results in Markdown; empty for a plan without ``front``."""
    if not results["front"]:
        return ""
    headers, rows = front_table(results)
    cells = [list(map(plain_line, row)) for row in rows]
    table = tabulate(cells, list(map(plain_line, headers)), "github", disable_numparse=True)
    return f"\n## Front\n\n{front_sentence(results)} {NOTE}\n\n{table}\n"
