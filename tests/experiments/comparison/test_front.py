"""The front against brute force, and its figure and tables in a comparison whose scores are made
up."""

import json
import math
import sys

import numpy as np
import pytest
from helpers import ROOT

from aa_detectron.errors import InputError
from aa_detectron.experiments.comparison import cli, plots, report, results
from aa_detectron.experiments.comparison.front import (
    find_front,
    front_markdown,
    front_sentence,
    front_table,
    pareto_front,
)
from aa_detectron.experiments.comparison.plan import read_plan
from aa_detectron.experiments.comparison.scores import Score
from aa_detectron.experiments.comparison.statistics import image_weights

IMAGES = [str(i) for i in range(40)]
METRICS = ["mask AP", "mask mAISC, to 8 px"]
TRUE_MEANS = {"plain": (60, 60), "blur": (57, 70), "adaptive": (63, 65), "a|b": (50, 50)}
"""Of both metrics; chance adds less than one point."""
CONFIG = ROOT / "configs/Shapes-Classification/resnet_R_18_plain.yaml"


@pytest.mark.parametrize("trial", range(30))
def test_pareto_front_is_brute_force(trial):
    """Points on a coarse grid, so that many have equal numbers, and some have NaN."""
    rng = np.random.default_rng(trial)
    points = rng.integers(0, 6, (rng.integers(1, 25), 2)).astype(float)
    points[rng.random(points.shape) < 0.05] = np.nan

    def is_beaten(p):
        others = (q for q in points if not np.isnan(q).any())
        return any((q >= p).all() and (q > p).any() for q in others)

    expected = [not np.isnan(p).any() and not is_beaten(p) for p in points]
    assert pareto_front([tuple(p) for p in points.tolist()]) == expected


def test_equal_points_are_on_the_front_together():
    assert pareto_front([(1, 2), (1, 2), (1, 1), (0, 2)]) == [True, True, False, False]
    assert pareto_front([]) == []
    assert pareto_front([(math.nan, 9), (1, 1)]) == [False, True]


def variants_of(means):
    return {
        name: {"scores": {metric: {"mean": mean} for metric, mean in zip("xy", pair, strict=True)}}
        for name, pair in means.items()
    }


def test_names_are_in_order_of_the_first_metric():
    variants = variants_of({"c": (3, 1), "off": (1, 1), "a": (1, 3), "b": (2, 2)})
    assert find_front(variants, ["x", "y"]) == {"metrics": ["x", "y"], "variants": ["a", "b", "c"]}
    assert find_front(variants, ()) is None


@pytest.mark.parametrize(
    "means, sentence",
    [
        ({"a": (1, 1)}, "1 of 1 variant is on the front of x and y: a."),
        (
            {"a": (1, 1), "b": (2, 2)},
            "1 of 2 variants is on the front of x and y: b. No other variant beats it in one "
            "metric without losing in the other.",
        ),
        (
            {"a": (1, 2), "b": (2, 1), "c": (0, 0)},
            "2 of 3 variants are on the front of x and y: a; b. No other variant beats one of "
            "them in one metric without losing in the other.",
        ),
        (
            {"a": (1, 2), "b": (2, 1)},
            "2 of 2 variants are on the front of x and y: a; b.",
        ),
        ({"a": (1, math.nan)}, "No variant has a value in both x and y."),
    ],
)
def test_sentence(means, sentence):
    variants = variants_of(means)
    found = {"variants": variants, "front": find_front(variants, ["x", "y"])}
    assert front_sentence(found) == sentence


def made_up_scores(run):
    name, _, seed = run.name.partition("/seed_")
    rng = np.random.default_rng([list(TRUE_MEANS).index(name), int(seed)])
    scores = {}
    for metric, mean in zip(METRICS, TRUE_MEANS[name], strict=True):
        fractions = mean + rng.normal(0, 0.1) + rng.normal(0, 1, len(IMAGES))
        resampled = fractions @ (image_weights(len(IMAGES), 100) / len(IMAGES)).T
        scores[metric] = Score(resampled, IMAGES)
    return scores


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "comparison.yaml"
    variants = ", ".join(f'"{name}": {{config: {CONFIG}}}' for name in TRUE_MEANS)
    path.write_text(
        f"output: {tmp_path}/out\nseeds: [1, 2]\nbaselines: [plain, blur]\n"
        f"front: {json.dumps(METRICS)}\nvariants: {{{variants}}}\n"
    )
    return path


@pytest.fixture
def collected(path, monkeypatch):
    monkeypatch.setattr(results, "read_scores", made_up_scores)
    return results.collect(read_plan(str(path)))


def test_front_of_the_results(collected):
    assert collected["front"] == {"metrics": METRICS, "variants": ["blur", "adaptive"]}


def test_differences_from_the_baselines(collected):
    headers, rows = front_table(collected)
    against = [f"{metric} against {name}" for name in ("plain", "blur") for metric in METRICS]
    assert headers == ["on the front", *METRICS, *against]
    assert [row[0] for row in rows] == ["blur", "adaptive"]
    blur, adaptive = (dict(zip(headers, row, strict=True)) for row in rows)
    assert blur["mask AP"] == f"{collected['variants']['blur']['scores']['mask AP']['mean']:.2f}"
    assert blur["mask AP against blur"] == "" and float(adaptive["mask AP"]) > 62
    for difference in collected["differences"]:
        if difference["variant"] == "adaptive":
            cell = adaptive[f"{difference['metric']} against {difference['baseline']}"]
            assert cell == results.format_difference(difference)


def test_a_difference_measured_the_other_way_around_is_turned(collected):
    """The differences have blur - plain only, and "plain" is compared with blur as well."""
    collected["front"]["variants"] = ["plain"]
    headers, (row,) = front_table(collected)
    (found,) = (
        d
        for d in collected["differences"]
        if (d["metric"], d["variant"], d["baseline"]) == ("mask AP", "blur", "plain")
    )
    cell = dict(zip(headers, row, strict=True))["mask AP against blur"]
    assert cell == f"{-found['value']:+.2f} ({-found['high']:.2f} to {-found['low']:.2f})"
    assert found["value"] < 0


def test_section_of_the_table(collected):
    text = results.as_markdown(collected)
    assert (
        "\n\n## Front\n\n2 of 4 variants are on the front of mask AP and mask mAISC, to 8" in text
    )
    assert text.endswith("|\n") and text.count("\n| blur ") == 1
    collected["front"]["variants"] = ["a|b"]
    *_, row = front_markdown(collected).splitlines()
    assert row.startswith("| a\\|b ")
    without = results.as_markdown(collected | {"front": None})
    assert "Front" not in without and text.startswith(without)


def test_without_differences(collected):
    headers, _ = front_table(collected | {"differences": []})
    assert headers == ["on the front", *METRICS]


def test_unknown_metrics_are_one_line(path, monkeypatch):
    monkeypatch.setattr(results, "read_scores", made_up_scores)
    path.write_text(path.read_text().replace('"mask AP"', "mIoU"))
    with pytest.raises(InputError) as rejected:
        results.collect(read_plan(str(path)))
    legal = "mask AP, mask mAISC, to 8 px"
    assert str(rejected.value) == f"front has 'mIoU', but must have metrics of: {legal}"


def test_page(collected, path, tmp_path):
    plan = read_plan(str(path))
    drawn = plots.plot_all(plan, collected, tmp_path / "figures")
    assert list(drawn) == [*METRICS, "Front"]
    page = report.render(plan, collected, drawn, {"pairs": [], "filters": []})
    assert page.count("<h2>Front</h2>") == 1 and page.count(report.embedded(drawn["Front"])) == 1
    assert page.index(front_sentence(collected)) < page.index("<table")
    assert "<th>mask AP against plain</th>" in page and "By shift length" not in page
    del drawn["Front"]
    without = report.render(plan, collected | {"front": None}, drawn, {"pairs": [], "filters": []})
    assert "front" not in without.partition("<body>")[2].lower()


def test_pooled_seeds_have_no_intervals(collected, path):
    path.write_text(path.read_text() + "pool_seeds: true\n")
    pooled = plots.draw_front(results.collect(read_plan(str(path))))
    for figure, is_drawn in ((plots.draw_front(collected), True), (pooled, False)):
        texts = [text.get_text() for text in figure.legends[0].get_texts()]
        assert ("95 % interval" in texts) == is_drawn and "single seed" in texts
    assert plots.draw_front(collected | {"front": None}) is None


def test_figure_has_the_numbers_of_the_results(collected, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots.front, "draw_front", lambda *arguments: drawn.append(arguments))
    plots.draw_front(collected)
    ((variants, labels),) = drawn
    assert labels == ("mask AP (%)", "mask mAISC, to 8 px (%)")
    assert [v.name for v in variants if v.is_on_front] == ["blur", "adaptive"]
    for variant in variants:
        found = collected["variants"][variant.name]
        for axis, metric in enumerate(METRICS):
            ends = [found["scores"][metric][key] for key in ("low", "mean", "high")]
            assert [variant.low[axis], variant.mean[axis], variant.high[axis]] == ends
            seeds = [run["scores"][metric] for run in found["runs"]]
            assert [seed[axis] for seed in variant.seeds] == seeds


def test_results_folder(path, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "read_scores", made_up_scores)
    monkeypatch.setattr(cli, "train_missing", lambda *_, **__: None)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    for name in ("load_first_runs", "draw_worst_pairs", "draw_filters"):
        monkeypatch.setattr(report, name, lambda *_: [])
    monkeypatch.setattr(sys, "argv", ["aa-compare", str(path), "--results", f"{tmp_path}/kept"])
    cli.main()
    names = {file.name for file in (tmp_path / "kept").iterdir()}
    tables = {"results.json", "table.csv", "table.md"}
    assert names == tables | {"front.svg", "mask_ap.svg", "mask_maisc_to_8_px.svg"}
    kept, made = tmp_path / "kept/front.svg", tmp_path / "out/figures/front.svg"
    assert kept.read_bytes() == made.read_bytes()
    saved = json.loads((tmp_path / "kept/results.json").read_text())
    assert saved["front"] == {"metrics": METRICS, "variants": ["blur", "adaptive"]}
    assert "## Front" in capsys.readouterr().out
