"""Records and scores from predictions that another program has written."""

import os
from collections.abc import Iterator, Mapping

import numpy as np

from aa_detectron.errors import InputError
from aa_detectron.utils.coco_records import short

from ..compare import Rules
from ..crops import Compared, Group, compare_in, place
from ..predictors import in_order
from ..results import ConsistencyResult, SweepResult
from ..shift_kinds import shift_kind
from ..shifts import Position
from ..sources.images import ImageItem
from ..sweep.every_shift import add_every_shift
from ..truth import check_truth, reach
from .manifest import Manifest, read_manifest
from .prediction_files import Predictions, Read


def score_predictions(
    manifest_path: str | os.PathLike,
    predictions: Predictions,
    *,
    score_thresh: float = 0.5,
    match_class: bool = True,
    truth: Mapping[str, dict | None] | None = None,
) -> ConsistencyResult:
    """Makes records and scores from predictions that another program has written.

    Args:
        manifest_path: path of the manifest from
            :func:`~aa_detectron.consistency.exchange.crop_files.write_crops`.
        predictions: reader of one kind of files, see
            :mod:`~aa_detectron.consistency.exchange.prediction_files`.
        score_thresh, match_class: see
            :func:`~aa_detectron.consistency.predictors.evaluate_consistency`.
        truth: ground truth of the images by the ``str`` of the image id.

    Raises:
        InputError: an unusable manifest or prediction, or ground truth of other images; the message
            names the file and the crop.
    """
    manifest = read_manifest(manifest_path)
    ids = {str(crop.image_id) for crop in manifest.crops.values()}
    if truth and not ids & truth.keys():
        raise InputError(
            f"{manifest_path}: no image has ground truth; ids of images are {short(sorted(ids))}, "
            f"of ground truth {short(sorted(truth))}"
        )
    rules = Rules(score_thresh, match_class)
    compared = _compare_files(manifest, predictions, rules, truth or {})
    settings = {**manifest.settings, **vars(rules)}
    if manifest.settings["kind"] == "sweep":
        stride = manifest.settings.get("stride", 32)
        return SweepResult(list(add_every_shift(compared)), settings, stride=stride)
    return ConsistencyResult(in_order([found.record for found in compared]), settings)


def _compare_files(
    manifest: Manifest,
    predictions: Predictions,
    rules: Rules,
    truth: Mapping[str, dict | None],
) -> Iterator[Compared]:
    read = predictions(manifest)
    kind = shift_kind(manifest.settings.get("shifts", "crop"))
    others: dict[int, dict[int, Position]] = {}
    for first, second, number in manifest.pairs:
        others.setdefault(first, {})[number] = manifest.crops[second].offset
    reference: tuple[int | None, dict] = (None, {})
    for first, second, number in manifest.pairs:
        crop = manifest.crops[first]
        item = ImageItem(crop.image_id, _no_image, truth.get(str(crop.image_id)))
        group = Group(item, None, crop.size, crop.offset, others[first], kind)
        if reference[0] != first:
            _check_truth(group)
            reference = first, _read(read, first, group, crop.offset, rules)
        other = _read(read, second, group, others[first][number], rules)
        yield compare_in(group, number, reference[1], other, rules)


def _check_truth(group: Group) -> None:
    """Checks the ground truth of an image of unknown size against the frames of its crops."""
    kind, offsets = group.kind, [group.reference, *group.others.values()]
    frames = [kind.frame(offset, group.reference) for offset in offsets]
    shown = reach(frames, kind.frame_size(group.size))
    check_truth(group.item.truth, shown, group.item.image_id, exact=False)


def _read(read: Read, key: int, group: Group, offset: Position, rules: Rules) -> dict:
    output, name = read(key)
    try:
        return place(group, offset, output, rules)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _no_image() -> np.ndarray:
    raise InputError("predictions on disk come without images")
