"""Comparison of two plain predictions of any kind: the record of their pair."""

import math
from dataclasses import dataclass
from typing import Any

from aa_detectron.errors import InputError, InvalidOption

from .classes import class_pair_record
from .instances import pair_record
from .label_maps import label_pair_record
from .records import plain
from .shifts import Offset, overlap_in_crops
from .truth import counted_pixels

KINDS = ("boxes", "sem_seg", "logits", "class")
"""Key of a plain prediction that identifies each kind of output."""


@dataclass(frozen=True)
class Rules:
    """Rules for the comparison of instances.

    Attributes:
        score_thresh: minimum score of an instance that counts.
        match_class: whether only instances of the same class can match.

    Raises:
        InvalidOption: ``score_thresh`` is NaN, which no score reaches.
    """

    score_thresh: float = 0.5
    match_class: bool = True

    def __post_init__(self) -> None:
        for name, value in vars(self).items():  # they are saved with the records
            object.__setattr__(self, name, plain(value))
        if math.isnan(self.score_thresh):
            raise InvalidOption("score_thresh", self.score_thresh, "a number")


def compare(
    image_id: Any,
    number: int,
    offsets: tuple[Offset, Offset],
    size: tuple[int, int],
    first: dict,
    second: dict,
    rules: Rules,
    truth: dict | None = None,
) -> dict:
    """Makes the record of a pair, with a section for each kind of output in the predictions.

    Args:
        image_id: id of the image, a number or string.
        number: number of the pair within the image.
        offsets: offsets ((y, x), (y, x)) of the two crops in the image.
        size: size (height, width) of both crops in pixels.
        first, second: plain predictions from
            :func:`~aa_detectron.consistency.adapters.predictions.read_prediction`, with the
            instances that reach the threshold of the rules.
        rules: rules for the comparison of instances.
        truth: ground truth of the image, see
            :class:`~aa_detectron.consistency.sources.images.ImageItem`.

    Raises:
        InputError: the two predictions hold different kinds of output, or the crops do not overlap.
    """
    try:
        overlap_in_crops(*offsets, size)
    except ValueError as error:
        raise InputError(str(error)) from None
    kinds = [[kind for kind in KINDS if kind in p] for p in (first, second)]
    if kinds[0] != kinds[1]:
        raise InputError(f"the first crop got {kinds[0]}, the second {kinds[1]}")
    place, truth = (image_id, number, offsets), truth or {}
    record: dict = {}
    for kind in kinds[0]:
        if kind == "boxes":
            objects = truth if "boxes" in truth else None
            record |= pair_record(
                *place, size, first, second, match_class=rules.match_class, truth=objects
            )
        elif kind == "sem_seg":
            maps = first[kind], second[kind]
            record |= label_pair_record(*place, *maps, counted_pixels(truth))
        else:
            answers = first[kind], second[kind]
            record |= class_pair_record(*place, size, *answers, truth.get("class"))
    return record
