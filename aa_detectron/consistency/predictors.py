"""Consistency of any model that is a function of images."""

from typing import Any

from aa_detectron.errors import InvalidOption

from .compare import Rules
from .crops import PairGroups, Predict, compare_groups, make_groups
from .results import ConsistencyResult
from .sources.images import open_images
from .sources.progress import show_progress


def evaluate_consistency(
    predict: Predict,
    images: Any,
    *,
    max_shift: int = 32,
    pairs_per_image: int = 1,
    seed: int = 0,
    score_thresh: float = 0.5,
    match_class: bool = True,
    batch_size: int = 1,
    class_names: list[str] | None = None,
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
        score_thresh: minimum score of an instance that counts.
        match_class: whether only instances of the same class can match.
        batch_size: maximum number of crops in a call of ``predict``.
        class_names: names of the classes, for scores per class.
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
    for name, value in (("max_shift", max_shift), ("pairs_per_image", pairs_per_image)):
        if value < 1:
            raise InvalidOption(name, value, "an integer from 1")
    options, rules = PairGroups(max_shift, pairs_per_image, seed), Rules(score_thresh, match_class)
    items = show_progress(open_images(images, **source), progress)
    groups = make_groups(items, options.__call__, strict=strict)
    records = [found.record for found in compare_groups(predict, groups, rules, batch_size)]
    settings = {"kind": "pairs", **options._asdict(), **vars(rules)}
    return ConsistencyResult(in_order(records), settings, class_names)


def in_order(records: list[dict]) -> list[dict]:
    """Sorts records by image and pair, as the evaluators do."""
    return sorted(records, key=lambda record: (str(record["image_id"]), record["pair"]))
