"""Primary differences of one or several comparisons, corrected for their number.

A plan names the differences that its conclusions rest on before the runs: the key ``primary`` of a
comparison's file. Holm's procedure (Scandinavian Journal of Statistics 6, 1979) keeps the
probability of any wrong conclusion among all of them at 5 %: in order of rising p, the k-th of m
differences is tested with an interval of level 1 - 0.05 / (m + 1 - k); the first interval that
contains zero ends the procedure, and the later differences are open.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scipy.optimize import brentq
from tabulate import tabulate

from aa_detectron.errors import InputError

from .statistics import Interval, Spread, half_width

ALPHA = 0.05
"""Probability of any wrong conclusion."""


class Difference(NamedTuple):
    """A primary difference."""

    comparison: str
    metric: str
    variant: str
    baseline: str
    interval: Interval
    """Interval of level 1 - :data:`ALPHA`, not corrected."""


class Verdict(NamedTuple):
    """A primary difference with its corrected interval."""

    difference: Difference
    p: float
    corrected: Interval
    conclusion: str
    """"shown" for an interval above zero, "contradicted" for one below zero, or "open"."""


def read_primary(paths: Sequence[str | Path]) -> list[Difference]:
    """Reads the primary differences of comparisons.

    Args:
        paths: paths of ``results.json`` files.

    Raises:
        InputError: a file cannot be read, has no primary differences, or is given twice.
    """
    given: set[Path] = set()
    found: list[Difference] = []
    for path in paths:
        if Path(path).resolve() in given:
            raise InputError(f"{path}: is given twice, but every difference must count once")
        given.add(Path(path).resolve())
        try:
            results = json.loads(Path(path).read_text(encoding="utf-8"))
            chosen = [
                _read(results, difference)
                for difference in results["differences"]
                if difference["metric"] in results["primary"].get(difference["variant"], ())
                and difference["baseline"] in results["baselines"]
            ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else error
            raise InputError(f"{path}: is not the results.json of a comparison: {reason}") from None
        if not chosen:
            raise InputError(f"{path}: has no primary differences; name them under 'primary'")
        found += chosen
    return found


def _read(results: dict, difference: dict) -> Difference:
    parts = tuple(
        Spread(_number(part["variance"]), part["freedom"]) for part in difference["variances"]
    )
    value, low, high = (_number(difference[key]) for key in ("value", "low", "high"))
    metric, variant, baseline = (difference[key] for key in ("metric", "variant", "baseline"))
    interval = Interval(value, low, high, len(results["seeds"]), parts)
    return Difference(results["title"], metric, variant, baseline, interval)


def _number(found: float | None) -> float:
    """A number of the file, in which NaN is null."""
    return math.nan if found is None else float(found)


def holm(differences: Sequence[Difference], alpha: float = ALPHA) -> list[Verdict]:
    """Tests differences by Holm's procedure.

    Args:
        differences: differences of one family.
        alpha: probability of any wrong conclusion, 0 to 1.

    Returns:
        verdicts, in order of rising p.
    """
    ordered = sorted(differences, key=lambda difference: p_value(difference.interval))
    verdicts: list[Verdict] = []
    is_ended = False
    for number, difference in enumerate(ordered):
        level = 1 - alpha / (len(ordered) - number)
        corrected = difference.interval.at(level)
        is_ended = is_ended or corrected.holds_zero
        conclusion = "shown" if corrected.value > 0 else "contradicted"
        p = p_value(difference.interval)
        verdicts.append(Verdict(difference, p, corrected, "open" if is_ended else conclusion))
    return verdicts


def p_value(interval: Interval) -> float:
    """Returns 1 minus the level of the widest interval that does not contain zero.

    It is 1 for a value or a variance that is unknown (NaN).
    """
    half = half_width(interval.parts, 1 - ALPHA)
    if math.isnan(half) or math.isnan(interval.value) or interval.value == 0:
        return 1.0
    smallest, largest = 1e-12, 1 - 1e-9

    def beyond(p: float) -> float:
        return abs(interval.value) - interval.at(1 - p).high + interval.value

    if beyond(smallest) > 0:
        return 0.0
    return 1.0 if beyond(largest) < 0 else float(brentq(beyond, smallest, largest, xtol=1e-12))


def as_markdown(verdicts: Sequence[Verdict]) -> str:
    """The table of all verdicts in Markdown."""
    rows = [
        [
            found.comparison,
            found.metric,
            f"{found.variant} - {found.baseline}",
            "none" if math.isnan(found.interval.value) else f"{found.interval.value:+.2f}",
            _ends(found.interval),
            f"{p:.2g}",
            _ends(corrected),
            conclusion,
        ]
        for found, p, corrected, conclusion in verdicts
    ]
    header = ["comparison", "metric", "difference", "points", "95 % interval", "p", "corrected"]
    return tabulate(rows, [*header, "conclusion"], "github", disable_numparse=True) + "\n"


def _ends(interval: Interval) -> str:
    if math.isnan(interval.low):
        return "none"
    return f"{interval.low:.2f} to {interval.high:.2f}"
