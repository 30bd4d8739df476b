"""Consistency of any model that is a function of images."""

from typing import Any

from aa_detectron.errors import check_choice, check_from_1

from .class_names import ClassNames, list_names
from .compare import Rules
from .crops import PairGroups, Predict, compare_groups, make_groups
from .records import plain
from .results import ConsistencyResult
from .shift_kinds import SHIFT_KINDS
from .sources.images import open_images
from .sources.progress import show_progress

AT_LEAST_1 = {"max_shift", "pairs_per_image", "stride", "steps_per_pixel"}
"""Options that must be integers from 1."""


def evaluate_consistency(
    predict: Predict,
    images: Any,
    *,
    max_shift: int = 32,
    pairs_per_image: int = 1,
    seed: int = 0,
    shifts: str = "crop",
    steps_per_pixel: int = 4,
    score_thresh: float = 0.5,
    match_class: bool = True,
    batch_size: int = 1,
    class_names: ClassNames | None = None,
    strict: bool = True,
    progress: bool = True,
    **source: Any,
) -> ConsistencyResult:
    """Measures the consistency of a model on randomly shifted crops.

    The evaluators for Detectron2 use the same crops, and make the same records from the same
    outputs. Only the records stay in memory.

    Args:
        predict: function from a list of at most ``batch_size`` crops, each (H, W, 3) uint8 RGB, to
            a list of as many predictions.
            :mod:`~aa_detectron.consistency.adapters.predictions` lists the kinds of predictions.
        images: folder, COCO JSON, video, or iterable of arrays or paths; see
            :func:`~aa_detectron.consistency.sources.images.open_images`.
        max_shift: maximum shift along each axis in pixels. Small images have a quarter of the
            shorter side if that is less.
        pairs_per_image: number of pairs of crops per image.
        seed: seed of the offsets, which depend only on the seed, image id and pair number.
        shifts: kind of shift, "crop", "circular" or "fractional", see
            :mod:`~aa_detectron.consistency.shift_kinds`.
        steps_per_pixel: number of offsets per pixel along each axis, for fractional shifts.
        score_thresh: minimum score of an instance that counts.
        match_class: whether only instances of the same class can match.
        batch_size: maximum number of crops in a call of ``predict``.
        class_names: names of the classes, for scores per class: a list, or a dict from class
            indices to names; see :func:`~aa_detectron.consistency.class_names.list_names`.
        strict: whether an unusable image raises; otherwise it is left out with a warning.
        progress: whether a progress bar is shown.
        source: options ``folder``, ``truth``, ``category_ids`` and ``every`` of
            :func:`~aa_detectron.consistency.sources.images.open_images`.

    Returns:
        records and scores.

    Raises:
        InputError: unusable images or predictions.
        InvalidOption: an option with an illegal value.
    """
    values = max_shift, pairs_per_image, seed, shifts, steps_per_pixel
    options = PairGroups(*map(plain, values))
    check_options(options._asdict())
    rules, names = Rules(score_thresh, match_class), list_names(class_names)
    items = show_progress(open_images(images, **source), progress)
    groups = make_groups(items, options.__call__, strict=strict)
    records = [found.record for found in compare_groups(predict, groups, rules, batch_size)]
    settings = {"kind": "pairs", **options._asdict(), **vars(rules)}
    return ConsistencyResult(in_order(records), settings, names)


def check_options(options: dict[str, Any]) -> None:
    """Checks the options of pairs or of a sweep.

    Raises:
        InvalidOption: an option with an illegal value.
    """
    check_choice("shifts", options["shifts"], SHIFT_KINDS)
    for name in AT_LEAST_1 & options.keys():
        check_from_1(name, options[name])


def in_order(records: list[dict]) -> list[dict]:
    """Sorts records by image and pair, as the evaluators do."""
    return sorted(records, key=lambda record: (str(record["image_id"]), record["pair"]))
