"""Holm's procedure on written-out p values, and the command over several files."""

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT
from scipy.stats import ttest_1samp

from aa_detectron.errors import InputError
from aa_detectron.experiments.comparison.primary import (
    Difference,
    as_markdown,
    holm,
    p_value,
    read_primary,
)
from aa_detectron.experiments.comparison.statistics import Interval, mean_interval

RNG = np.random.default_rng(0)


def interval_over_seeds(mean, seeds=5):
    """The images say the same in every resample, so that seeds have all of the variance."""
    values = mean + RNG.normal(0, 1, seeds)
    return values, mean_interval(np.repeat(values[:, None], 50, axis=1), 100)


@pytest.mark.parametrize("mean", [0, 0.5, -3, 20])
def test_p_value_is_the_one_of_student(mean):
    values, interval = interval_over_seeds(mean)
    assert p_value(interval) == pytest.approx(ttest_1samp(values, 0).pvalue, rel=1e-4)


def test_p_value_and_interval_agree():
    scores = RNG.normal(1, 1, (4, 201))
    interval = mean_interval(scores, 30)
    p = p_value(interval)
    assert interval.at(1 - 1.01 * p).holds_zero is False
    assert interval.at(1 - 0.99 * p).holds_zero is True
    assert interval.at(0.95)[:3] == interval[:3]


def test_p_value_without_an_interval():
    assert p_value(Interval(3.0, float("nan"), float("nan"), 1)) == 1


@pytest.mark.parametrize(
    "value, variance", [(None, 1.0), (30.0, None), (None, None)], ids=["value", "variance", "both"]
)
def test_a_difference_that_is_unknown_is_open(value, variance, tmp_path):
    """JSON lacks NaN, so that it has null for them."""
    path = written(tmp_path, "first", 30)
    results = json.loads(path.read_text())
    for found in results["differences"]:
        if found["baseline"] == "blur":
            found |= {"value": value, "low": None, "high": None, "holds_zero": True}
            found["variances"][0]["variance"] = variance
    path.write_text(json.dumps(results))
    shown, unknown = holm(read_primary([path]))
    assert shown.conclusion == "shown" and shown.difference.baseline == "plain"
    assert unknown.conclusion == "open" and unknown.p == 1
    row = as_markdown([unknown]).splitlines()[-1]
    assert "nan" not in row and row.count("none") == (3 if value is None else 2)


def by_hand(p_values, alpha):
    """Rejected hypotheses, by the definition."""
    rejected, order = set(), np.argsort(p_values)
    for k, index in enumerate(order, 1):
        if p_values[index] > alpha / (len(p_values) + 1 - k):
            break
        rejected.add(int(index))
    return rejected


@pytest.mark.parametrize("trial", range(20))
def test_holm(trial):
    means = np.random.default_rng(trial).choice([0, 1.5, -2, 4], 6)
    intervals = [interval_over_seeds(mean)[1] for mean in means]
    found = holm([Difference("", str(i), "a", "b", part) for i, part in enumerate(intervals)])
    decided = {int(v.difference.metric) for v in found if v.conclusion != "open"}
    assert decided == by_hand([p_value(interval) for interval in intervals], 0.05)
    for verdict in found:
        sign = verdict.difference.interval.value > 0
        assert verdict.conclusion in ("open", "shown" if sign else "contradicted")
    assert [v.p for v in found] == sorted(v.p for v in found)


def test_an_early_end_leaves_later_differences_open():
    """The second has p 0.03, above 0.05 / 2, so that the third is open as well, at p 0.04."""
    wanted = (0.001, 0.03, 0.04)
    found = holm([Difference("", str(p), "a", "b", with_p(p)) for p in wanted])
    assert [v.conclusion for v in found] == ["shown", "open", "open"]
    assert [v.corrected.holds_zero for v in found] == [False, True, False]


def with_p(p):
    values, interval = interval_over_seeds(1)
    half = interval.at(1 - p).high - interval.value
    return interval._replace(value=half, low=0, high=2 * half)


def written(tmp_path, name, value, **changes):
    _, interval = interval_over_seeds(value)
    common = {
        "low": interval.low, "high": interval.high, "holds_zero": False,
        "variances": [part._asdict() for part in interval.parts],
    }  # fmt: skip
    results = {
        "title": name, "seeds": [1, 2, 3, 4, 5], "baselines": ["plain", "blur"],
        "primary": {"adaptive": ["mask AP"]},
        "differences": [
            {"metric": metric, "variant": v, "baseline": b, "value": interval.value, **common}
            for metric in ("mask AP", "box AP")
            for v, b in (("blur", "plain"), ("adaptive", "plain"), ("adaptive", "blur"))
        ],
    } | changes  # fmt: skip
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(results))
    return path


def test_command(tmp_path):
    paths = [written(tmp_path, "first", 30), written(tmp_path, "second", 0.01)]
    command = [sys.executable, ROOT / "tools/primary_differences.py", *paths]
    table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert sorted(row[:3] for row in rows) == [
        [name, "mask AP", f"adaptive - {baseline}"]
        for name in ("first", "second")
        for baseline in ("blur", "plain")
    ]
    assert [row[-1] for row in rows] == ["shown", "shown", "open", "open"]


def test_a_path_given_twice_is_refused(tmp_path):
    path = written(tmp_path, "first", 30)
    with pytest.raises(InputError, match="given twice"):
        read_primary([path, tmp_path / "." / ".." / tmp_path.name / "first.json"])


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"primary": {}}, "has no primary differences; name them under 'primary'"),
        ({"differences": [{}]}, "is not the results.json of a comparison: has no 'metric'"),
        ({"primary": 3}, "is not the results.json of a comparison"),
    ],
)
def test_other_files(changes, reason, tmp_path):
    path = written(tmp_path, "first", 1, **changes)
    with pytest.raises(InputError, match=f"first.json: {reason}"):
        read_primary([path])
    with pytest.raises(InputError, match="no.json"):
        read_primary([tmp_path / "no.json"])
