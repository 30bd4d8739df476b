"""report.html: all results of a comparison in one page that loads no other file."""

import base64
import importlib.metadata
import platform
from collections.abc import Callable
from pathlib import Path

import yaml
from detectron2.config import CfgNode

from aa_detectron.utils.files import replacing

from .cells import format_difference
from .configs import leaves, load_run_config
from .front import NOTE, front_sentence, front_table
from .pictures import Picture, draw_filters, draw_worst_pairs, load_first_runs
from .plan import Plan
from .plots import FRONT, LINES, plot_all
from .results import explanation, provenance, table_rows
from .runs import MAIN
from .verdict import pair_lines, terms, verdict

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
"""Metrics that the page shows first, for all evaluations."""
PAIR_LINES = 6
"""Largest number of pairs of variants for which the page has a line for each pair."""
LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "pycocotools", "fvcore", "matplotlib")


def write_report(plan: Plan, results: dict) -> tuple[Path, list[Path]]:
    """Draws plots and pictures to <output>/figures, and writes <output>/report.html.

    Args:
        plan: comparison whose runs are all finished.
        results: return value of :func:`.results.collect`.

    Returns:
        the path of the page, and the paths of the plots of main metrics, the front, drop curves and
        training.
    """
    folder = plan.output / "figures"
    plots = plot_all(plan, results, folder)
    evaluation = plan.evaluations[-1]  # the last: often the one of short shifts
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
    """Whether a metric is one of :data:`HEADLINES`, for any evaluation."""
    return metric.partition(",")[0] in HEADLINES


def render(
    plan: Plan,
    results: dict,
    plots: dict[str, Path],
    pictures: dict[str, list[Picture]],
    evaluation: str = MAIN,
) -> str:
    """The HTML of the page.

    Args:
        plan: comparison whose runs are all finished.
        results: return value of :func:`.results.collect`.
        plots: {title: path of an SVG file}; the title of a metric's plot is the metric.
        pictures: pictures under the keys "pairs" and "filters".
        evaluation: name of the evaluation of the pairs.
    """
    import jinja2  # an extra, see cli.check_requirements

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("aa_detectron.experiments.comparison", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"embedded": embedded, "difference": format_difference}
    metrics, rows = _metrics(results), table_rows(results)
    headlines = [metric for metric in metrics if is_headline(metric)]
    return environment.get_template("report.html.j2").render(
        results=results,
        verdict=verdict(results) + ([front_sentence(results)] if results["front"] else []),
        pair_lines=pair_lines(results, headlines) if len(plan.contrasts) <= PAIR_LINES else [],
        terms=terms(metrics),
        setup=describe_setup(plan, results),
        explanation=explanation(results),
        provenance=provenance(results),
        headlines=[row for row in rows if is_headline(row["metric"])],
        others=[row for row in rows if not is_headline(row["metric"])],
        plots={m: plots[m] for m in headlines},
        more_plots={m: plots[m] for m in metrics if m not in headlines},
        front=plots.get(FRONT),
        front_table=front_table(results) if results["front"] else None,
        front_note=NOTE,
        curves={title: path for title, path in plots.items() if title not in (*metrics, FRONT)},
        curve_lines=LINES,
        pictures=pictures,
        evaluation=evaluation,
        settings=differing_settings(plan),
        versions={"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in LIBRARIES},
    )


def describe_setup(plan: Plan, results: dict) -> dict[str, str]:
    """Datasets, training schedule and seeds; "differs" where variants have different values."""
    configs = [load_run_config(runs[0], eval_only=True) for runs in plan.variants.values()]

    def shared(value: Callable[[CfgNode], object]) -> str:
        found = dict.fromkeys(str(value(cfg)) for cfg in configs)
        return next(iter(found)) if len(found) == 1 else "differs, see the settings below"

    images = sorted(
        {s["images"] for v in results["variants"].values() for s in v["scores"].values()}
    )
    setup = {
        "Trained on": shared(lambda cfg: ", ".join(cfg.DATASETS.TRAIN)),
        "Tested on": shared(lambda cfg: ", ".join(cfg.DATASETS.TEST)),
        "Test images": ", ".join(map(str, images)),
        "Iterations": shared(lambda cfg: cfg.SOLVER.MAX_ITER),
        "Images per iteration": shared(lambda cfg: cfg.SOLVER.IMS_PER_BATCH),
        "Learning rate": shared(lambda cfg: cfg.SOLVER.BASE_LR),
        "Seeds": ", ".join(map(str, plan.seeds)),
    }
    if plan.starts:
        lengths = {load_run_config(start).SOLVER.MAX_ITER for start in plan.starts}
        iterations = " or ".join(map(str, sorted(lengths)))
        setup["Initial weights"] = f"from a training of {iterations} iterations"
    return setup


def embedded(path: Path) -> str:
    """A picture as a data URI."""
    kind = {".svg": "image/svg+xml", ".png": "image/png", ".gif": "image/gif"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def differing_settings(plan: Plan) -> dict[str, list]:
    """{config key: its value in each variant} for the keys that differ, at the first seed."""
    configs = [
        dict(leaves(yaml.safe_load(load_run_config(runs[0], eval_only=True).dump())))
        for runs in plan.variants.values()
    ]
    keys = sorted(set().union(*configs) - {"OUTPUT_DIR"})
    values = {key: [config.get(key) for config in configs] for key in keys}
    return {key: found for key, found in values.items() if len(set(map(str, found))) > 1}
