"""Sentences against the differences and intervals that they are made from."""

import math

import pytest

from aa_detectron.experiments.comparison.verdict import pair_lines, terms, verdict


def made_up(means, differences, *, metric="mask AP", seeds=(1, 2), baselines=("plain",)):
    """Results of {variant: mean} and {(variant, baseline): (value, low, high)}."""
    return {
        "seeds": list(seeds),
        "baselines": list(baselines),
        "variants": {name: {"scores": {metric: {"mean": mean}}} for name, mean in means.items()},
        "differences": [
            {"metric": metric, "variant": variant, "baseline": baseline}
            | {"value": value, "low": low, "high": high}
            | {"holds_zero": not (low > 0 or high < 0)}
            for (variant, baseline), (value, low, high) in differences.items()
        ],
    }


def test_a_lead():
    results = made_up({"plain": 60, "blur": 61.2}, {("blur", "plain"): (1.2, 0.7, 1.8)})
    assert verdict(results) == [
        "blur leads plain by 1.2 points mask AP (95 % interval 0.7 to 1.8)."
    ]
    assert pair_lines(results, ["mask AP"]) == ["blur against plain: Leads in mask AP by 1.2."]


def test_a_baseline_may_lead():
    results = made_up({"plain": 60, "blur": 58.8}, {("blur", "plain"): (-1.2, -1.8, -0.7)})
    assert verdict(results) == [
        "plain leads blur by 1.2 points mask AP (95 % interval 0.7 to 1.8)."
    ]
    assert pair_lines(results, ["mask AP"]) == ["blur against plain: Trails in mask AP by 1.2."]


def test_what_cannot_be_told():
    """An end of the interval that rounds to zero is shown with the side it is on."""
    results = made_up({"plain": 60, "blur": 61.5}, {("blur", "plain"): (1.5, -0.02, 3.02)})
    (sentence,) = verdict(results)
    assert sentence == (
        "There is no measurable difference in mask AP between blur and plain "
        "(95 % interval -0.02 to 3.02)."
    )
    assert pair_lines(results, ["mask AP"]) == [
        "blur against plain: No measurable difference in mask AP."
    ]


def test_leads_one_and_is_level_with_another():
    differences = {("b", "plain"): (2, 1, 3), ("c", "plain"): (3, 2, 4), ("c", "b"): (1, -1, 3)}
    results = made_up({"plain": 60, "b": 62, "c": 63}, differences, baselines=("plain", "b"))
    assert verdict(results) == [
        "c leads plain by 3.0 points mask AP (95 % interval 2.0 to 4.0); there is no measurable "
        "difference in mask AP between c and b (95 % interval -1.0 to 3.0)."
    ]


def test_many_variants_are_counted():
    values = {"a": (3, 2, 4), "b": (-2, -3, -1), "c": (0.5, -1, 2), "d": (1, 0.5, 1.5)}
    means = {"plain": 60} | {name: 60 + value for name, (value, _, _) in values.items()}
    results = made_up(means, {(name, "plain"): found for name, found in values.items()})
    (sentence,) = verdict(results)
    assert sentence.startswith("a leads plain by 3.0 points")
    assert (
        "Of 4 variants compared with plain, 2 lead and 1 trail measurably; 1 without a" in sentence
    )


def test_a_single_seed_and_no_interval_are_said():
    unknown = made_up({"a": 1, "b": 2}, {("b", "a"): (1, math.nan, math.nan)}, seeds=[1])
    sentence, caution = verdict(unknown)
    assert "no measurable difference" in sentence and "(no interval)" in sentence
    assert "single seed" in caution


@pytest.mark.parametrize("order", [("blur", "unknown"), ("unknown", "blur")])
def test_a_variant_without_a_value_is_not_the_best(order):
    means = {"plain": 60, "blur": 61.2, "unknown": math.nan}
    differences = {
        ("blur", "plain"): (1.2, 0.7, 1.8),
        ("unknown", "plain"): (math.nan,) * 3,
        ("unknown", "blur"): (math.nan,) * 3,
    }
    results = made_up({name: means[name] for name in (*order, "plain")}, differences)
    assert verdict(results) == [
        "blur leads plain by 1.2 points mask AP (95 % interval 0.7 to 1.8). "
        "unknown has no value in mask AP."
    ]
    assert pair_lines(results, ["mask AP"])[1] == "unknown against plain: No value in mask AP."
    results["variants"]["blur"] = results["variants"]["unknown"]
    missing = [name for name in results["variants"] if name != "plain"]
    assert verdict(results)[0].endswith(f"{' and '.join(missing)} have no value in mask AP.")


def test_no_variant_has_a_value():
    results = made_up({"a": math.nan, "b": math.nan}, {("b", "a"): (math.nan,) * 3})
    assert verdict(results) == ["No variant has a value in mask AP."]


@pytest.mark.parametrize("means", [{"a": 65.94}, {"a": 65.94, "b": 60}])
def test_without_differences(means):
    sentences = verdict(made_up(means, {}, baselines=()))
    assert sentences[0] == "a reaches 65.9 % mask AP."
    assert (len(sentences) == 2) == (len(means) == 2)


def test_terms_are_of_the_metrics_shown():
    assert list(terms(["mask AP", "mask mAISC, to 8 px"])) == ["AP", "mAISC"]
    assert list(terms(["top-1", "consistency"])) == ["top-1", "consistency"]
