"""Tables and page of a comparison whose scores are made up."""

import csv
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from helpers import ROOT
from matplotlib.text import Text

from aa_detectron.errors import InputError
from aa_detectron.experiments.comparison import plots, report, results
from aa_detectron.experiments.comparison.cells import format_difference
from aa_detectron.experiments.comparison.pictures import Picture, worst_pairs
from aa_detectron.experiments.comparison.plan import read_plan
from aa_detectron.experiments.comparison.scores import Score
from aa_detectron.experiments.comparison.statistics import (
    image_weights,
    paired_difference,
    pooled_spread,
)

IMAGES = [str(i) for i in range(80)]
CONFIG = ROOT / "configs/Shapes-Classification/resnet_R_18_plain.yaml"
ADAPTIVE = ROOT / "configs/Shapes-Classification/resnet_R_18_adaptive.yaml"


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "comparison.yaml"
    path.write_text(
        f"title: <A> & B\noutput: {tmp_path}/out\nseeds: [1, 2, 3]\nbaselines: [plain, same]\n"
        f"variants: {{plain: {{config: {CONFIG}}}, same: {{config: {CONFIG}}}, "
        f"better: {{config: {ADAPTIVE}}}}}"
    )
    return read_plan(str(path))


def made_up_scores(run):
    """ "better" is 5 points ahead of both others, which differ by chance alone."""
    variant, _, seed = run.name.partition("/seed_")
    rng = np.random.default_rng([len(variant), int(seed)])
    fractions = 70 + 5 * (variant == "better") + rng.normal(0, 0.5) + rng.normal(0, 4, len(IMAGES))
    resampled = fractions @ (image_weights(len(IMAGES), 300) / len(IMAGES)).T
    return {"mask AP": Score(resampled, IMAGES), "mask mAISC": Score(resampled + 1, IMAGES, 70)}


@pytest.fixture
def collected(plan, monkeypatch):
    monkeypatch.setattr(results, "read_scores", made_up_scores)
    return results.collect(plan)


def test_numbers(collected, plan):
    variants = {
        name: np.stack([made_up_scores(run)["mask AP"].resampled for run in runs])
        for name, runs in plan.variants.items()
    }
    summary = collected["variants"]["better"]["scores"]["mask AP"]
    assert summary["mean"] == pytest.approx(variants["better"][:, 0].mean())
    assert summary["deviation"] == pytest.approx(np.std(variants["better"][:, 0], ddof=1))
    assert summary["pairs"] is None
    assert collected["variants"]["same"]["scores"]["mask mAISC"]["pairs"] == 70
    found = {
        (d["variant"], d["baseline"]): d
        for d in collected["differences"]
        if d["metric"] == "mask AP"
    }
    assert list(found) == [("same", "plain"), ("better", "plain"), ("better", "same")]
    for (variant, baseline), difference in found.items():
        expected = paired_difference(variants[variant], variants[baseline], len(IMAGES))
        assert difference["variances"] == [part._asdict() for part in expected.parts]
        assert (difference["value"], difference["low"], difference["high"]) == expected[:3]
        assert difference["holds_zero"] == (variant == "same")


def test_intervals_know_how_many_images_count(plan, monkeypatch):
    """The smallest number of all runs decides; the table still has the tested images."""

    def few(run):
        counted = {"same/seed_2": 1, "better/seed_3": 30}.get(run.name)
        return {"mask AP": made_up_scores(run)["mask AP"]._replace(counted=counted)}

    monkeypatch.setattr(results, "read_scores", few)
    collected = results.collect(plan)
    found = {(d["variant"], d["baseline"]): d for d in collected["differences"]}
    for unknown in (found["same", "plain"], found["better", "same"]):
        assert math.isnan(unknown["low"]) and unknown["holds_zero"] and not unknown["variances"]
    assert found["better", "plain"]["variances"][0]["freedom"] == 29
    summaries = {name: v["scores"]["mask AP"] for name, v in collected["variants"].items()}
    assert math.isnan(summaries["same"]["low"]) and summaries["plain"]["low"] < 100
    assert {summary["images"] for summary in summaries.values()} == {len(IMAGES)}


@pytest.mark.parametrize(
    "ends, text",
    [
        ((1.2, 0.7, 1.8), "+1.20 (0.70 to 1.80)"),
        ((1.2, math.nan, math.nan), "+1.20 (no interval)"),
        ((math.nan,) * 3, "no value"),
    ],
)
def test_cells(ends, text):
    difference = dict(zip(("value", "low", "high"), ends, strict=True))
    assert format_difference(difference | {"holds_zero": text != "+1.20 (0.70 to 1.80)"}) == text


def test_primary_metrics_are_measured(plan, monkeypatch):
    monkeypatch.setattr(results, "read_scores", made_up_scores)
    named = replace(plan, primary={"better": ["mask AP"]})
    assert results.collect(named)["primary"] == {"better": ["mask AP"]}
    with pytest.raises(InputError, match="primary.better has 'mIoU', but must"):
        results.collect(replace(plan, primary={"better": ["mIoU"]}))


def test_spread_of_all_variants(plan, monkeypatch):
    monkeypatch.setattr(results, "read_scores", made_up_scores)
    collected = results.collect(replace(plan, pool_seeds=True))
    variants = {
        name: np.stack([made_up_scores(run)["mask AP"].resampled for run in runs])
        for name, runs in plan.variants.items()
    }
    spread = pooled_spread(np.stack([scores[:, 0] for scores in variants.values()]))
    expected = paired_difference(variants["better"], variants["plain"], len(IMAGES), spread)
    (found,) = (
        d
        for d in collected["differences"]
        if (d["metric"], d["variant"], d["baseline"]) == ("mask AP", "better", "plain")
    )
    assert (found["value"], found["low"], found["high"]) == expected[:3]
    assert math.isnan(collected["variants"]["better"]["scores"]["mask AP"]["low"])
    assert "from all variants together" in results.as_markdown(collected)
    assert "from all variants" not in results.as_markdown(collected | {"pool_seeds": False})


def test_tables_say_what_contains_zero(collected, tmp_path):
    paths = results.write_tables(collected, tmp_path)
    assert [path.name for path in paths] == ["results.json", "table.csv", "table.md"]
    assert json.loads(paths[0].read_text())["differences"] == collected["differences"]
    lines = paths[2].read_text().splitlines()
    (same,) = (line for line in lines if line.startswith("| mask AP ") and "| same " in line)
    (better,) = (line for line in lines if line.startswith("| mask AP ") and "| better " in line)
    assert same.count("contains zero") == 1 and better.count("contains zero") == 0
    assert "left out" not in paths[2].read_text()
    assert re.search(r"\| \+[456]\.\d\d \([2-6]\.\d\d to [4-9]\.\d\d\)", better)
    rows = list(csv.DictReader(io.StringIO(paths[1].read_text())))
    assert len(rows) == 2 * (1 + 1 + 2)
    (row,) = (
        r
        for r in rows
        if (r["metric"], r["variant"], r["baseline"]) == ("mask AP", "same", "plain")
    )
    assert row["holds_zero"] == "True" and float(row["difference_low"]) < 0 < float(
        row["difference_high"]
    )


def test_a_single_seed_says_so(collected):
    collected["seeds"] = [1]
    assert "a single seed says nothing" in results.as_markdown(collected)


def test_other_images_are_rejected(plan, monkeypatch):
    def other_images(run):
        scores = made_up_scores(run)
        if run.name == "better/seed_2":
            scores["mask AP"] = scores["mask AP"]._replace(image_ids=IMAGES[:-1] + ["99"])
        return scores

    monkeypatch.setattr(results, "read_scores", other_images)
    with pytest.raises(InputError, match="better/seed_2: its mask AP is not of the same images"):
        results.collect(plan)


def test_runs_whose_own_test_had_another_score_are_named(plan, monkeypatch, caplog):
    monkeypatch.setattr(results, "read_scores", made_up_scores)
    for run, shift in zip(plan.variants["better"], (0, 1e-5, 0.01), strict=True):
        run.folder.mkdir(parents=True)
        line = {"iteration": 9, "segm/AP": made_up_scores(run)["mask AP"].resampled[0] + shift}
        (run.folder / "metrics.json").write_text(json.dumps(line))
    assert results.collect(plan)["differences"]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{plan.variants['better'][2].folder}: its mask AP is ")


def test_other_datasets_are_rejected(plan, monkeypatch):
    """Files without a name, from before reports had one, are compared with all others."""
    names = {"plain/seed_1": None, "better/seed_2": "b_val"}

    def other_dataset(run):
        score = made_up_scores(run)["mask mAISC"]
        return {"mask mAISC": score._replace(dataset=names.get(run.name, "a_val"))}

    monkeypatch.setattr(results, "read_scores", other_dataset)
    with pytest.raises(InputError) as rejected:
        results.collect(plan)
    assert str(rejected.value).endswith(
        "better/seed_2: its mask mAISC is of the dataset 'b_val', but must be of 'a_val', as the "
        f"mask mAISC of {plan.variants['same'][0].folder}"
    )
    del names["better/seed_2"]
    assert results.collect(plan)["differences"]


def test_other_pairs_are_rejected(plan, monkeypatch):
    def other_pairs(run):
        scores = made_up_scores(run)
        if run.name == "better/seed_2":
            scores["mask mAISC"] = scores["mask mAISC"]._replace(tested="other offsets")
        return scores

    monkeypatch.setattr(results, "read_scores", other_pairs)
    with pytest.raises(InputError, match="better/seed_2: its mask mAISC is not of the same pairs"):
        results.collect(plan)


def test_only_common_metrics_are_compared(plan, monkeypatch):
    def some(run):
        scores = made_up_scores(run)
        return {"mask AP": scores["mask AP"]} if run.name.startswith("same") else scores

    monkeypatch.setattr(results, "read_scores", some)
    collected = results.collect(plan)
    assert {d["metric"] for d in collected["differences"]} == {"mask AP"}
    assert "Not measured in all runs, and so left out: mask mAISC." in results.as_markdown(
        collected
    )
    monkeypatch.setattr(
        results, "read_scores", lambda run: {run.name: made_up_scores(run)["mask AP"]}
    )
    with pytest.raises(InputError, match="no score in common"):
        results.collect(plan)


def test_page_holds_everything(collected, plan, tmp_path):
    for run in plan.runs:
        run.folder.mkdir(parents=True)
        lines = [{"iteration": i, "total_loss": 3 - 0.01 * i} for i in range(100)]
        (run.folder / "metrics.json").write_text("\n".join(map(json.dumps, lines)))
    drawn = plots.plot_all(plan, collected, tmp_path / "figures")
    assert list(drawn) == ["mask AP", "mask mAISC", "Training"]
    assert all(path.read_text().startswith("<?xml") for path in drawn.values())
    picture = tmp_path / "a.png"
    picture.write_bytes(b"not looked at")
    pictures = {"pairs": [Picture(picture, "the <worst>")], "filters": []}
    page = report.render(plan, collected, drawn, pictures)
    assert page.count("<img") == 4 and len(re.findall(r'src="data:image/', page)) == 4
    outside = re.findall(r'(?:src|href)="(?!data:)|url\(|@import|https?://', page)
    assert not outside
    assert "&lt;A&gt; &amp; B" in page and "the &lt;worst&gt;" in page
    assert "MODEL.ANTIALIAS.NAME" in page and "<td>none</td><td>none</td><td>adaptive</td>" in page
    assert "What the filters learned" not in page


def test_page_opens_with_the_verdict_and_names_the_training(collected, plan, tmp_path):
    page = report.render(
        plan, collected, plots.plot_all(plan, collected, tmp_path), {"pairs": [], "filters": []}
    )
    assert page.index("better leads") < page.index("<table")
    assert "shapes_classification_val" in page and "<dd>1200</dd>" in page  # MAX_ITER
    for term in ("mAISC", "SD", "95 % interval"):
        assert f"<dt>{term}</dt>" in page
    sections = re.findall(r"<h2>(.*?)</h2>\s*(<h2>|</body>)?", page)
    assert sections and not any(after for _, after in sections)
    assert "Worst pairs" not in page and "<pre>" not in page


def test_a_comparison_of_one_variant(collected, plan, tmp_path, monkeypatch):
    alone = replace(plan, variants={"better": plan.variants["better"]}, baselines=("better",))
    monkeypatch.setattr(results, "read_scores", made_up_scores)
    found = results.collect(alone)
    drawn = plots.plot_all(alone, found, tmp_path)
    page = report.render(alone, found, drawn, {"pairs": [], "filters": []})
    text = results.as_markdown(found)
    assert found["differences"] == [] and "better" in page
    for said in (page, text):
        assert "Contains zero" not in said and "nan" not in said
    assert "Settings that differ" not in page and "against" not in page


def test_names_stay_within_their_cells(collected):
    text = json.dumps(collected).replace("better", "a|b")
    rows = [r for r in results.as_markdown(json.loads(text)).splitlines() if r.startswith("|")]
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    assert sum("a\\|b" in row for row in rows) == 2


@pytest.mark.parametrize("name", ["$\\frac{$", "_hidden", "50 % $"])
def test_names_are_drawn_as_they_are(collected, name):
    text = json.dumps(collected).replace("better", json.dumps(name)[1:-1])
    plots.draw_metric(json.loads(text), "mask AP").draw_without_rendering()


def test_training_curves_of_seeds_of_different_length(plan):
    for length, run in zip((50, 40, 50), plan.variants["plain"], strict=True):
        run.folder.mkdir(parents=True)
        lines = [{"iteration": i, "total_loss": 3 - 0.01 * i} for i in range(length)]
        (run.folder / "metrics.json").write_text("\n".join(map(json.dumps, lines)))
    (line,) = plots.draw_training(plan).axes[0].lines
    assert line.get_xdata()[-1] == 39 and line.get_ydata()[-1] == pytest.approx(2.615, abs=0.01)


def test_plots_are_the_same_bytes_twice(collected, plan, tmp_path):
    first, second = (plots.plot_all(plan, collected, tmp_path / name) for name in "ab")
    for title in first:
        assert first[title].read_bytes() == second[title].read_bytes()


def test_every_plot_has_a_file_of_its_own():
    """Names that do not collide, such as those in results/, have no number."""
    titles = ["mASSC, to 8 px", "mASSC, 0.5 px", "mASSC, 0-5 px", "mASSC, 0,5 px", "mask AP75"]
    assert list(plots.file_stems(titles).items()) == list(
        zip(
            titles,
            ["massc_to_8_px", "massc_0_5_px", "massc_0_5_px_2", "massc_0_5_px_3", "mask_ap75"],
            strict=True,
        )
    )


@pytest.mark.parametrize("name", ["better", "a variant with a longer name than the others"])
def test_titles_fit(collected, name):
    renamed = json.loads(json.dumps(collected).replace("better", name).replace("AP", "AP, to 8 px"))
    figure = plots.draw_metric(renamed, "mask AP, to 8 px")
    figure.draw_without_rendering()
    for axes in figure.axes:
        title = axes.get_title(loc="left")
        (text,) = (t for t in axes.findobj(Text) if t.get_text() == title)
        assert title and text.get_window_extent().x1 <= figure.bbox.x1


def test_training_curve(tmp_path):
    path = tmp_path / "metrics.json"
    losses = np.arange(200.0)
    lines = [{"iteration": i, "total_loss": loss} for i, loss in enumerate(losses)]
    path.write_text("\n".join(map(json.dumps, [*lines, {"iteration": 200, "bbox/AP": 3.0}])))
    iterations, smooth = plots.training_curve(path)
    assert iterations[0] == 9 and smooth[0] == pytest.approx(4.5)  # of ten, 5 % of 200
    assert iterations[-1] == 199 and len(iterations) == 191
    assert len(plots.training_curve(tmp_path / "missing.json")[0]) == 0


def test_worst_pairs():
    def record(equal):
        return {"sem_seg": {"pixels": 10, "equal": equal}}

    first = {(i, 0): record(e) for i, e in enumerate([9, 2, 5, 1, 3])}
    second = {(i, 0): record(e) for i, e in enumerate([9, 9, 5, 5, 3])}
    second[4, 0]["sem_seg"]["pixels"] = 0  # does not count
    assert worst_pairs([first, second], 2) == [(3, 0), (2, 0)]
    assert worst_pairs([first], 2) == [(3, 0), (1, 0)]
    assert worst_pairs([]) == []
