"""The results of a comparison as plain data, and the tables of results."""

import csv
import io
import math
from pathlib import Path

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from aa_detectron.errors import InputError
from aa_detectron.utils.files import replacing, write_json

from .cells import format_difference, plain_line
from .front import find_front, front_markdown
from .plan import Plan
from .provenance import environment, finished_steps
from .runs import Run
from .scores import RESAMPLES, Score, read_scores, warn_of_other_annotations
from .statistics import Interval, deviation, mean_interval, paired_difference, pooled_spread


def collect(plan: Plan) -> dict:
    """Reads all runs and compares them.

    Returns:
        {"title", "seeds", "baselines", "primary", "front", "pool_seeds", "left_out", "resamples",
        "environment", "starts", "variants": {name: {"runs": [{"folder", "steps",
        "scores": {metric: percent}}, ...], "scores": {metric: {"mean", "deviation", "low", "high",
        "images", "pairs"}}}}, "differences": [{"metric", "variant", "baseline", "value", "low",
        "high", "holds_zero", "variances": [{"variance", "freedom"}, ...]}, ...]}; see
        :func:`.find_front` and :mod:`.statistics`. "pairs" is the number of pairs that count,
        mean over seeds. "low" and "high" are NaN if fewer than two images count in a run; in
        "scores" also if the seeds are pooled.

    Raises:
        InputError: results are missing, runs were not tested on the same dataset, images and pairs,
            or the plan names a metric that was not measured.
    """
    with tqdm(plan.runs, desc="scores", unit="run") as runs:
        scores = {run: read_scores(run) for run in runs}
    for run in plan.runs:  # not within the bar, which the warnings would break
        warn_of_other_annotations(run, scores[run])
    metrics, left_out = _common_metrics(scores)
    gathered = {
        variant: {metric: _gather([scores[run][metric] for run in runs]) for metric in metrics}
        for variant, runs in plan.variants.items()
    }
    _check_named(plan, metrics)
    differences = []
    for metric in metrics:
        spread = None
        if plan.pool_seeds:
            spread = pooled_spread(np.stack([g[metric][:, 0] for g in gathered.values()]))
        for variant, baseline in plan.contrasts:
            pair = gathered[variant][metric], gathered[baseline][metric]
            compared = plan.variants[variant] + plan.variants[baseline]
            images = _counted_images([scores[run][metric] for run in compared])
            difference = paired_difference(*pair, images, spread)
            names = {"metric": metric, "variant": variant, "baseline": baseline}
            differences.append(names | _as_dict(difference))
    variants = {
        variant: {
            "runs": [_describe_run(run, scores[run]) for run in runs],
            "scores": {
                metric: _summary(gathered[variant][metric], [scores[r][metric] for r in runs], plan)
                for metric in metrics
            },
        }
        for variant, runs in plan.variants.items()
    }
    return {
        "title": plan.title,
        "seeds": list(plan.seeds),
        "baselines": list(plan.baselines),
        "primary": plan.primary,
        "front": find_front(variants, plan.front),
        "pool_seeds": plan.pool_seeds,
        "left_out": left_out,
        "resamples": RESAMPLES,
        "environment": environment(),
        "starts": [_describe_run(run, {}) for run in plan.starts],
        "variants": variants,
        "differences": differences,
    }


def _check_named(plan: Plan, metrics: list[str]) -> None:
    """Checks the metrics that the plan names.

    Raises:
        InputError: a named metric is not among the measured ones.
    """
    named = {f"primary.{variant}": found for variant, found in plan.primary.items()}
    for key, found in {**named, "front": plan.front}.items():
        for metric in (metric for metric in found if metric not in metrics):
            legal = ", ".join(metrics)
            raise InputError(f"{key} has {metric!r}, but must have metrics of: {legal}")


def _common_metrics(scores: dict[Run, dict[str, Score]]) -> tuple[list[str], list[str]]:
    """The metrics of all runs, in the order of the first run, and the metrics of some runs only.

    Raises:
        InputError: two runs were not tested on the same dataset, images and pairs, or have no
            metric in common.
    """
    _check_datasets(scores)
    (first, known), *others = scores.items()
    for run, other in others:
        for metric in known.keys() & other.keys():
            reference = f"as the {metric} of {first.folder}"
            if other[metric].image_ids != known[metric].image_ids:
                raise InputError(
                    f"{run.folder}: its {metric} is not of the same images {reference}"
                )
            if other[metric].tested != known[metric].tested:
                raise InputError(
                    f"{run.folder}: its {metric} is not of the same pairs and settings "
                    f"(TEST.CONSISTENCY) {reference}"
                )
    metrics = [metric for metric in known if all(metric in other for _, other in others)]
    if not metrics:
        raise InputError(f"{others[0][0].folder}: has no score in common with {first.folder}")
    every = dict.fromkeys(metric for found in scores.values() for metric in found)
    return metrics, [metric for metric in every if metric not in metrics]


def _check_datasets(scores: dict[Run, dict[str, Score]]) -> None:
    """Raises InputError if a metric of two runs is of datasets with different names."""
    known: dict[str, tuple[Run, str]] = {}
    for run, found in scores.items():
        for metric, dataset in ((m, s.dataset) for m, s in found.items() if s.dataset is not None):
            first, expected = known.setdefault(metric, (run, dataset))
            if dataset != expected:
                raise InputError(
                    f"{run.folder}: its {metric} is of the dataset {dataset!r}, but must be of "
                    f"{expected!r}, as the {metric} of {first.folder}"
                )


def _gather(scores: list[Score]) -> np.ndarray:
    return np.stack([score.resampled for score in scores])


def _counted_images(scores: list[Score]) -> int:
    """Number of images that count, the smallest of all runs."""
    return min(len(s.image_ids) if s.counted is None else s.counted for s in scores)


def _describe_run(run: Run, scores: dict[str, Score]) -> dict:
    return {
        "name": run.name,
        "folder": str(run.folder),
        "steps": finished_steps(run),
        "scores": {metric: float(score.resampled[0]) for metric, score in scores.items()},
    }


def _summary(gathered: np.ndarray, scores: list[Score], plan: Plan) -> dict:
    interval = mean_interval(gathered, _counted_images(scores))
    if plan.pool_seeds:  # a pooled spread applies to differences only
        interval = interval._replace(low=math.nan, high=math.nan)
    pairs = [score.pairs for score in scores if score.pairs is not None]
    return {
        "mean": interval.value,
        "deviation": deviation(gathered),
        "low": interval.low,
        "high": interval.high,
        "images": len(scores[0].image_ids),
        "pairs": sum(pairs) / len(pairs) if pairs else None,
    }


def _as_dict(interval: Interval) -> dict:
    return {
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "holds_zero": interval.holds_zero,
        "variances": [part._asdict() for part in interval.parts],
    }


def table_rows(results: dict) -> list[dict]:
    """The rows of the tables, one for each metric and variant."""
    differences = {(d["metric"], d["variant"], d["baseline"]): d for d in results["differences"]}
    first = next(iter(results["variants"].values()))
    return [
        {
            "metric": metric,
            "variant": name,
            **variant["scores"][metric],
            "differences": {
                baseline: differences.get((metric, name, baseline))
                for baseline in results["baselines"]
            },
        }
        for metric in first["scores"]
        for name, variant in results["variants"].items()
    ]


def as_markdown(results: dict) -> str:
    """The table in Markdown."""
    baselines = results["baselines"]
    rows = [
        [
            plain_line(row["metric"]),
            plain_line(row["variant"]),
            f"{row['mean']:.2f}",
            "" if math.isnan(row["deviation"]) else f"{row['deviation']:.2f}",
            *(format_difference(row["differences"][baseline]) for baseline in baselines),
            row["images"],
            "" if row["pairs"] is None else round(row["pairs"]),
        ]
        for row in table_rows(results)
    ]
    headers = ["metric", "variant", "mean", "SD over seeds"]
    headers += [f"against {plain_line(baseline)}" for baseline in baselines] + ["images", "pairs"]
    table = tabulate(rows, headers, "github", disable_numparse=True)
    return f"# {results['title']}\n\n{explanation(results)}\n\n{table}\n{front_markdown(results)}"


def explanation(results: dict) -> str:
    """Sentences that explain the table."""
    sentences = ["All scores are in percent, means over seeds."]
    if results["differences"]:
        sentences += _about_differences(results)
    if any(row["pairs"] is not None for row in table_rows(results)):
        sentences.append("Pairs: number of pairs of crops that count, mean over seeds.")
    if results["left_out"]:
        missing = ", ".join(results["left_out"])
        sentences.append(f"Not measured in all runs, and so left out: {missing}.")
    return " ".join(sentences)


def _about_differences(results: dict) -> list[str]:
    seeds = len(results["seeds"])
    over = (
        f"images and {seeds} seeds"
        if seeds > 1
        else "images alone: a single seed says nothing about the spread between trainings"
    )
    pooled = " (whose spread is taken from all variants together)" if results["pool_seeds"] else ""
    return [
        "Differences are in points, paired by seed and image; their 95 % interval, over "
        f"{over}{pooled}, follows in brackets.",
        '"Contains zero": the interval contains zero, so there is no measurable difference.',
    ]


def provenance(results: dict) -> str:
    """Number of runs, hours, commits and machines."""
    runs = [run for variant in results["variants"].values() for run in variant["runs"]]
    runs += results["starts"]
    steps = [step for run in runs for step in run["steps"].values()]
    if not steps:
        return f"{len(runs)} finished runs, trained elsewhere"
    hours = sum(step["seconds"] for step in steps) / 3600
    commits, machines = (
        ", ".join(sorted({s[key] for s in steps})) for key in ("commit", "machine")
    )
    # Only the last process of an interrupted step is known.
    time = f"{hours:.1f} hours or more in total"
    return f"{len(runs)} runs, {time}; commit {commits}; {machines}"


def as_csv(results: dict) -> str:
    """The table in CSV, one row for each metric, variant and baseline."""
    text = io.StringIO()
    columns = ["metric", "variant", "mean", "deviation", "low", "high", "images", "pairs"]
    columns += ["baseline", "difference", "difference_low", "difference_high", "holds_zero"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in table_rows(results):
        scores = [row[column] for column in columns[:8]]
        found = [(b, d) for b, d in row["differences"].items() if d] or [("", None)]
        for baseline, difference in found:
            values = [difference[k] for k in ("value", "low", "high")] if difference else [""] * 3
            zero = difference["holds_zero"] if difference else ""
            writer.writerow([*map(_cell, [*scores, baseline, *values]), zero])
    return text.getvalue()


def _cell(value: object) -> object:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def write_tables(results: dict, folder: Path) -> list[Path]:
    """Writes results.json, table.csv and table.md; returns their paths."""
    paths = [folder / name for name in ("results.json", "table.csv", "table.md")]
    write_json(paths[0], results)
    for path, text in zip(paths[1:], (as_csv(results), as_markdown(results)), strict=True):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return paths
