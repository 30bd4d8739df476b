"""Pictures of a comparison: the worst pairs, and the variance of the adaptive filters."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from aa_detectron.consistency.records import main_fraction
from aa_detectron.data.pairs import get_image_dicts
from aa_detectron.engine.launch import LoadedModel, load_model
from aa_detectron.errors import InputError
from aa_detectron.experiments.figures.filter_variance import plot_variance
from aa_detectron.experiments.figures.images import find_images
from aa_detectron.experiments.figures.pairs import draw_pairs
from aa_detectron.experiments.figures.recording import backbone_filters, check_shared_places

from .configs import config_of
from .plan import Plan
from .plots import read_records
from .runs import MAIN, Step, file_name

PAIRS = 4
VARIANTS = 4  # variants drawn at most, the first ones
PHOTOGRAPH = "astronaut"


class Picture(NamedTuple):
    """A picture of the report."""

    path: Path
    caption: str


def load_first_runs(plan: Plan, evaluation: str = MAIN) -> dict[str, LoadedModel]:
    """The models of the first seed, for the first variants that have a checkpoint."""
    models: dict[str, LoadedModel] = {}
    for name, (run, *_) in plan.variants.items():
        weights = run.folder / "model_final.pth"
        if weights.is_file() and len(models) < VARIANTS:
            config_file, opts = config_of(Step(run, evaluation))
            models[name] = load_model(config_file, str(weights), opts)
    return models


def draw_worst_pairs(
    plan: Plan, models: dict[str, LoadedModel], folder: Path, evaluation: str = MAIN
) -> list[Picture]:
    """Draws the pairs with the lowest mean consistency over variants, once for each variant.

    Args:
        plan: the comparison.
        models: return value of :func:`load_first_runs` for the same ``evaluation``.
        folder: folder of the pictures.
        evaluation: name of the evaluation of the pairs.
    """
    records = {name: _by_pair(read_records(plan.variants[name][0], evaluation)) for name in models}
    worst = worst_pairs(list(records.values()))
    pictures = []
    for name, (cfg, model) in models.items():
        data = (cfg.TEST.CONSISTENCY.DATASETS or cfg.DATASETS.TEST)[0]
        chosen = [records[name][key] for key in worst]
        place = folder / f"pairs_{file_name(name)}"
        place.mkdir(parents=True, exist_ok=True)
        paths = draw_pairs(cfg, model, data, chosen, str(place))
        pictures += [Picture(Path(path), f"{name}, pair {Path(path).stem}") for path in paths]
    # So that the variants of a pair are next to each other.
    return sorted(pictures, key=lambda picture: picture.path.stem)


def _by_pair(records: list[dict]) -> dict[tuple, dict]:
    return {(record["image_id"], record["pair"]): record for record in records}


def worst_pairs(variants: list[dict[tuple, dict]], count: int = PAIRS) -> list[tuple]:
    """The ``count`` pairs, (image id, number), of lowest mean consistency over variants.

    Args:
        variants: records by pair, for each variant. Only pairs that count for every variant are
            chosen.
        count: number of pairs.
    """
    if not variants:
        return []
    means = {}
    for key in variants[0]:
        found = [main_fraction(records[key]) for records in variants if key in records]
        counted = [fraction for fraction in found if fraction is not None]
        if len(counted) == len(variants):
            means[key] = sum(counted) / len(counted)
    return sorted(means, key=lambda key: (means[key], str(key)))[:count]


def draw_filters(models: dict[str, LoadedModel], folder: Path) -> list[Picture]:
    """Draws the variance of the adaptive variants' filters on a test image and a photograph.

    There is no picture if these variants have no place of filters in common.
    """
    adaptive = {
        name: trained
        for name, trained in models.items()
        if _passes(backbone_filters, trained.model)
    }
    if not adaptive or not _passes(check_shared_places, adaptive):
        return []
    cfg = next(iter(adaptive.values())).cfg
    first = get_image_dicts(cfg.DATASETS.TEST[0])[0]["file_name"]
    files = find_images([first, PHOTOGRAPH])
    written = plot_variance(adaptive, files, str(folder))
    return [
        Picture(Path(path), f"Variance of the filters' weights, {os.path.basename(files[stem])}")
        for path in written
        for stem in files
        if Path(path).name == f"variance_{stem}.png"
    ]


def _passes(check: Callable, *args: Any) -> bool:
    try:
        check(*args)
    except InputError:
        return False
    return True
