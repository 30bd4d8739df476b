"""Plots of a comparison: scores and differences by metric, front, training curves, drop curves."""

import itertools
import math
import os
from collections.abc import Iterable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aa_detectron.consistency.curves import drop_curves
from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.evaluation.pair_evaluator import records_path
from aa_detectron.experiments.figures import front
from aa_detectron.experiments.figures.curves import draw_drop_curves
from aa_detectron.experiments.figures.style import add_legend, color, literal
from aa_detectron.utils.files import replacing

from .configs import tested_datasets
from .plan import Plan
from .predictions import read_losses
from .runs import MAIN, Run
from .scores import CONSISTENCY

WIDTH = 4.4  # inches; text stays legible on a phone
HEIGHT = 3.4  # inches, of a plot of curves
ROW = 0.28  # inches, height of a variant's row
LETTER = 0.08  # inches, approximate width
TITLE, LABEL = 10, 9  # points
LINES = 6  # variants in a plot of curves at most, the first ones
SMOOTHING = 0.05  # window of the running mean, as a fraction of the training curve
FRONT = "Front"
"""Title of the plot of :func:`draw_front`."""


def draw_metric(results: dict, metric: str) -> Figure:
    """Draws one metric: seeds (dots), means (diamonds), 95 % intervals; below, the differences.

    Args:
        results: return value of :func:`.results.collect`.
        metric: name of one of its metrics.
    """
    variants = list(results["variants"])
    differences = [d for d in results["differences"] if d["metric"] == metric]
    rows = len(variants), len(differences)
    height = 1.5 + ROW * sum(rows)
    names = variants + [_contrast(difference) for difference in differences]
    titles = f"{metric} (%)", "differences (gray: interval contains zero)"
    longest = max(map(len, titles if differences else titles[:1]))
    width = LETTER * (max(map(len, names)) + longest)
    figure = Figure(figsize=(max(WIDTH, width), height), layout="constrained")
    ratios = [1 + count for count in rows if count]
    axes = figure.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)
    _draw_scores(axes[0, 0], results, metric)
    if differences:
        colors = {name: color(number) for number, name in enumerate(variants)}
        _draw_differences(axes[1, 0], differences, colors)
    return figure


def _contrast(difference: dict) -> str:
    return f"{difference['variant']} − {difference['baseline']}"


def _draw_scores(axes: Axes, results: dict, metric: str) -> None:
    names = list(results["variants"])
    for row, name in enumerate(names):
        variant = results["variants"][name]
        summary = variant["scores"][metric]
        _draw_interval(axes, row, summary["mean"], summary, color(row))
        seeds = [run["scores"][metric] for run in variant["runs"]]
        offsets = np.linspace(-0.22, 0.22, len(seeds)) if len(seeds) > 1 else [0.0]
        axes.scatter(seeds, row + np.array(offsets), s=9, color=color(row), alpha=0.55, zorder=3)
    _label_rows(axes, names)
    axes.set_title(literal(f"{metric} (%)"), size=TITLE, loc="left")


def _draw_differences(axes: Axes, differences: list[dict], colors: dict[str, tuple]) -> None:
    for row, difference in enumerate(differences):
        shade = "0.6" if difference["holds_zero"] else colors[difference["variant"]]
        _draw_interval(axes, row, difference["value"], difference, shade)
    axes.axvline(0, color="0.3", linewidth=0.8)
    _label_rows(axes, [_contrast(difference) for difference in differences])
    axes.set_title("differences (gray: interval contains zero)", size=TITLE, loc="left")


def _draw_interval(
    axes: Axes, row: int, value: float, ends: dict, shade: str | tuple[float, float, float]
) -> None:
    if not math.isnan(ends["low"]):
        axes.plot([ends["low"], ends["high"]], [row, row], color=shade, linewidth=1.6)
    axes.plot(value, row, marker="D", markersize=5, color=shade, zorder=4)


def _label_rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), list(map(literal, names)))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(labelsize=LABEL)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def draw_front(results: dict) -> Figure | None:
    """All variants between the two metrics of the front; None for a plan without ``front``."""
    if not results["front"]:
        return None
    metrics, on_front = results["front"]["metrics"], results["front"]["variants"]
    variants = [
        _as_point(name, variant, metrics, name in on_front)
        for name, variant in results["variants"].items()
    ]
    x, y = (f"{metric} (%)" for metric in metrics)
    return front.draw_front(variants, (x, y))


def _as_point(name: str, variant: dict, metrics: list[str], is_on_front: bool) -> front.Variant:
    mean, low, high = (
        (variant["scores"][metrics[0]][key], variant["scores"][metrics[1]][key])
        for key in ("mean", "low", "high")
    )
    seeds = [(run["scores"][metrics[0]], run["scores"][metrics[1]]) for run in variant["runs"]]
    return front.Variant(name, mean, low, high, seeds, is_on_front)


def draw_training(plan: Plan) -> Figure | None:
    """The smoothed loss of the first variants: mean over seeds, and a band from the lowest to the
    highest seed. None if no run has losses."""
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    lines = {}
    for number, (name, runs) in enumerate(list(plan.variants.items())[:LINES]):
        iterations, losses = _common_iterations(
            [training_curve(run.folder / "metrics.json") for run in runs]
        )
        if len(iterations):
            shade = color(number)
            (lines[name],) = axes.plot(iterations, losses.mean(axis=0), color=shade)
            ends = losses.min(axis=0), losses.max(axis=0)
            axes.fill_between(iterations, *ends, color=shade, alpha=0.15, linewidth=0)
    if not lines:
        return None
    axes.set_yscale("log")
    axes.set_xlabel("iteration", size=LABEL)
    band = "; band: all seeds" if len(plan.seeds) > 1 else ""
    axes.set_title(f"training loss, running mean{band}", size=TITLE, loc="left")
    axes.tick_params(which="both", labelsize=LABEL)
    axes.grid(alpha=0.3)
    add_legend(figure, lines)
    return figure


def _common_iterations(
    curves: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Iterations of all curves, (iterations,), and their losses, (curves, iterations)."""
    known = [dict(zip(*map(np.ndarray.tolist, curve), strict=True)) for curve in curves]
    shared = [i for i in known[0] if all(i in losses for losses in known)]
    losses = [[losses[i] for i in shared] for losses in known]
    return np.array(shared), np.array(losses).reshape(len(known), len(shared))


def training_curve(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Iterations and running means of the total loss from a metrics.json; may be empty."""
    found = read_losses(path)
    if not found:
        return np.zeros(0), np.zeros(0)
    iterations, losses = np.array(list(found.items()), float).T
    width = max(1, round(SMOOTHING * len(losses)))
    kernel = np.full(width, 1 / width)
    return iterations[width - 1 :], np.convolve(losses, kernel, "valid")


def draw_shift_lengths(plan: Plan, evaluation: str = MAIN) -> dict[str, Figure]:
    """Consistency by shift length of the first variants, for the pairs of all seeds together.

    Returns:
        {section of the records, see :mod:`aa_detectron.consistency.records`: figure}.
    """
    curves = {}
    for name, runs in list(plan.variants.items())[:LINES]:
        records = [record for run in runs for record in read_records(run, evaluation)]
        curves[name] = drop_curves(records)
    figures = {}
    for section in dict.fromkeys(section for found in curves.values() for section in found):
        figures[section] = draw_drop_curves(
            {name: {section: found[section]} for name, found in curves.items() if section in found}
        )
        figures[section].set_size_inches(WIDTH, HEIGHT)
    return figures


def read_records(run: Run, evaluation: str = MAIN) -> list[dict]:
    """The records of all pairs of an evaluation; empty if it has no records."""
    _, name = tested_datasets(run, evaluation)
    for kind in CONSISTENCY:
        path = records_path(str(run.inference(evaluation)), kind, name)
        if os.path.exists(path):
            return read_report(path)["pairs"]
    return []


def save_svg(path: Path, figure: Figure) -> Path:
    """Writes a figure as SVG; equal figures give equal bytes."""
    with matplotlib.rc_context({"svg.hashsalt": path.name}), replacing(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    return path


def plot_all(plan: Plan, results: dict, folder: Path) -> dict[str, Path]:
    """Writes all plots; returns {title: path}, first of the metrics, then of the front."""
    metrics: Iterable[str] = next(iter(results["variants"].values()))["scores"]
    figures: dict[str, Figure | None] = {m: draw_metric(results, m) for m in metrics}
    figures[FRONT] = draw_front(results)
    for evaluation in plan.evaluations:
        suffix = f", {evaluation}" if evaluation else ""
        for number, (section, figure) in enumerate(draw_shift_lengths(plan, evaluation).items()):
            boxes = ", boxes" if number and section == "bbox" else ""
            figures[f"Consistency by shift{boxes}{suffix}"] = figure
    figures["Training"] = draw_training(plan)
    drawn = {title: figure for title, figure in figures.items() if figure is not None}
    return {
        title: save_svg(folder / f"{stem}.svg", drawn[title])
        for title, stem in file_stems(drawn).items()
    }


def file_stems(titles: Iterable[str]) -> dict[str, str]:
    """{title: name of its file without the suffix}; equal names are numbered from the second on."""
    stems: dict[str, str] = {}
    for title in titles:
        stem = "".join(c if c.isalnum() else "_" for c in title.lower()).replace("__", "_")
        numbered = (f"{stem}_{number}" for number in itertools.count(2))
        stems[title] = next(s for s in itertools.chain([stem], numbered) if s not in stems.values())
    return stems
