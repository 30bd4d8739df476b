"""report.html: one page that holds all of a comparison, and needs nothing but itself."""

import base64
import importlib.metadata
import platform
from pathlib import Path

import jinja2
import yaml

from aa_detectron.utils.files import replacing

from .configs import load_run_config
from .pictures import Picture, draw_filters, draw_worst_pairs, load_first_runs
from .plan import Plan
from .plots import plot_all
from .results import explanation, format_difference, provenance, table_rows
from .runs import MAIN

HEADLINES = (
    "box AP",
    "mask AP",
    "mask mAISC",
    "box mAISC",
    "mIoU",
    "mASSC",
    "top-1",
    "consistency",
)
"""Metrics that the page shows first, also with the name of a further evaluation behind them."""
LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "pycocotools", "fvcore", "matplotlib")


def write_report(plan: Plan, results: dict) -> tuple[Path, list[Path]]:
    """Draws plots and pictures to <output>/figures, and writes <output>/report.html.

    Args:
        plan: the comparison, all of whose runs are finished.
        results: of :func:`.results.collect`.

    Returns:
        the page's path, and those of its first plots: of the main metrics, by shift, of training.
    """
    folder = plan.output / "figures"
    plots = plot_all(plan, results, folder)
    evaluation = [MAIN, *plan.runs[0].evaluations][-1]  # the last: often that of short shifts
    models = load_first_runs(plan, evaluation)
    pairs = draw_worst_pairs(plan, models, folder, evaluation)
    filters = draw_filters(models, folder)
    page = render(plan, results, plots, {"pairs": pairs, "filters": filters}, evaluation)
    path = plan.output / "report.html"
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    metrics = _metrics(results)
    return path, [p for title, p in plots.items() if is_headline(title) or title not in metrics]


def _metrics(results: dict) -> list[str]:
    return list(next(iter(results["variants"].values()))["scores"])


def is_headline(metric: str) -> bool:
    """Whether it is one of :data:`HEADLINES`, of whichever evaluation."""
    return metric.partition(",")[0] in HEADLINES


def render(
    plan: Plan,
    results: dict,
    plots: dict[str, Path],
    pictures: dict[str, list[Picture]],
    evaluation: str = MAIN,
) -> str:
    """The page.

    Args:
        plan, results: as for :func:`write_report`.
        plots: {title: SVG}; those of metrics under their names.
        pictures: "pairs" and "filters".
        evaluation: whose pairs these are.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("aa_detectron.experiments.comparison", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"embedded": embedded, "difference": format_difference}
    metrics, rows = _metrics(results), table_rows(results)
    return environment.get_template("report.html.j2").render(
        results=results,
        explanation=explanation(results),
        provenance=provenance(results),
        headlines=[row for row in rows if is_headline(row["metric"])],
        others=[row for row in rows if not is_headline(row["metric"])],
        plots={m: plots[m] for m in metrics if is_headline(m)},
        more_plots={m: plots[m] for m in metrics if not is_headline(m)},
        curves={title: path for title, path in plots.items() if title not in metrics},
        pictures=pictures,
        evaluation=evaluation,
        settings=differing_settings(plan),
        versions={"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in LIBRARIES},
    )


def embedded(path: Path) -> str:
    """A picture as a data URI."""
    kind = {".svg": "image/svg+xml", ".png": "image/png", ".gif": "image/gif"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def differing_settings(plan: Plan) -> dict[str, list]:
    """{config key: its value in each variant}, of the keys that differ; first seeds."""
    configs = [
        _flat(yaml.safe_load(load_run_config(runs[0], eval_only=True).dump()))
        for runs in plan.variants.values()
    ]
    keys = sorted(set().union(*configs) - {"OUTPUT_DIR"})
    values = {key: [config.get(key) for config in configs] for key in keys}
    return {key: found for key, found in values.items() if len(set(map(str, found))) > 1}


def _flat(node: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in node.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
