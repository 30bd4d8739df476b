"""The consistency of a model at every shift."""

from typing import Any

from aa_detectron.errors import check_choice

from ..class_names import ClassNames, list_names
from ..compare import Rules
from ..crops import Predict, compare_groups, make_groups
from ..predictors import check_options
from ..records import plain
from ..results import SweepResult
from ..sources.images import open_images
from ..sources.progress import show_progress
from .every_shift import add_every_shift
from .groups import DIRECTIONS, SweepGroups


def evaluate_sweep(
    predict: Predict,
    images: Any,
    *,
    max_shift: int = 64,
    stride: int = 32,
    direction: str = "diagonal",
    shifts: str = "crop",
    steps_per_pixel: int = 4,
    score_thresh: float = 0.5,
    match_class: bool = True,
    batch_size: int = 1,
    class_names: ClassNames | None = None,
    strict: bool = True,
    progress: bool = True,
    **source: Any,
) -> SweepResult:
    """Measures the consistency of a model at every shift.

    Args:
        predict: see :func:`~aa_detectron.consistency.predictors.evaluate_consistency`, also for
            ``images``, ``score_thresh`` and all other arguments without an entry here. The crop at
            shift 0 is predicted twice; a consistency below 100 % means that the model is random.
        max_shift: S in pixels; the longest shift is S - S // 2. Small images have a quarter of the
            shorter side as S if that is less.
        stride: total stride P of the network in pixels, or a divisor of it.
        direction: "diagonal", "x" or "y".
        steps_per_pixel: number of steps of the sweep per pixel, for fractional shifts.

    Returns:
        records, curves and phase gaps.

    Raises:
        InputError: unusable images or predictions.
        InvalidOption: an option with an illegal value.
    """
    check_choice("direction", direction, DIRECTIONS)
    values = max_shift, stride, direction, shifts, steps_per_pixel
    options = SweepGroups(*map(plain, values))
    check_options(options._asdict())
    rules, names = Rules(score_thresh, match_class), list_names(class_names)
    items = show_progress(open_images(images, **source), progress)
    groups = make_groups(items, options.__call__, strict=strict)
    records = add_every_shift(compare_groups(predict, groups, rules, batch_size))
    settings = {"kind": "sweep", **options._asdict(), **vars(rules)}
    return SweepResult(list(records), settings, names, options.stride)
