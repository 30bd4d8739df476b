"""The consistency of any model that is a function of images."""

from typing import Any

from aa_detectron.errors import InvalidOption

from .compare import Rules
from .crops import PairGroups, Predict, compare_groups, make_groups
from .images import open_images
from .progress import show_progress
from .results import ConsistencyResult


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
    """Measures how consistent a model is on randomly shifted crops.

    The crops, and the records of the same outputs, are those of the evaluators for Detectron2.
    Only the records stay in memory.

    Args:
        predict: takes a list of ``batch_size`` or fewer crops, each (H, W, 3) uint8 RGB, and
            returns a list of as many predictions.
            :mod:`~aa_detectron.consistency.predictions` lists what counts as a prediction.
        images: a folder, a COCO JSON, a video, or an iterable of arrays or paths; see
            :func:`~aa_detectron.consistency.images.open_images`.
        max_shift: longest shift along each axis in pixels; for small images, a quarter of the
            shorter side where that is less.
        pairs_per_image: pairs of crops of each image.
        seed: of the offsets, which depend on it, the image id and the number of the pair alone.
        score_thresh: instances with a lower score do not count.
        match_class: only instances of the same class can match.
        batch_size: crops in a call of ``predict``.
        class_names: names of the classes, for scores per class.
        strict: raise for an image that cannot be used; otherwise leave it out with a warning.
        progress: show a bar.
        source: ``folder``, ``truth``, ``category_ids`` and ``every`` of
            :func:`~aa_detectron.consistency.images.open_images`.

    Returns:
        records and scores.

    Raises:
        InputError: images or predictions that cannot be used.
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
    """Sorted by image and pair, as the evaluators write them."""
    return sorted(records, key=lambda record: (str(record["image_id"]), record["pair"]))
