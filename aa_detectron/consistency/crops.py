"""Crops of images, their predictions and their records, with one crop in memory at a time."""

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from aa_detectron.errors import InputError, InvalidOption

from .adapters.predictions import read_prediction
from .adapters.values import describe
from .compare import Rules, compare
from .shifts import Offset, crop_size, draw_offsets
from .sources.images import ImageItem, check_image

Predict = Callable[[list[np.ndarray]], Sequence[Any]]
"""Function from crops, each (H, W, 3) uint8 RGB, to as many predictions."""


class Group(NamedTuple):
    """Crops of an image; the first crop is compared with every other crop."""

    item: ImageItem
    image: np.ndarray | None
    """Image (H, W, 3) uint8 RGB; None if only the predictions are known."""
    size: tuple[int, int]
    """Size (height, width) of all crops in pixels."""
    reference: Offset
    """Offset of the first crop."""
    others: dict[int, Offset]
    """Offsets of the other crops by pair number."""


class Compared(NamedTuple):
    """A record and the two plain predictions that it compares."""

    record: dict
    first: dict
    second: dict
    group: Group


MakeGroups = Callable[[ImageItem, np.ndarray], Iterable[Group]]


class PairGroups(NamedTuple):
    """Groups of random pairs, see :mod:`~aa_detectron.consistency.shifts`."""

    max_shift: int = 32
    pairs_per_image: int = 1
    seed: int = 0

    def __call__(self, item: ImageItem, image: np.ndarray) -> Iterator[Group]:
        height, width = image.shape[:2]
        for pair in range(self.pairs_per_image):
            first, second = draw_offsets(
                height, width, self.max_shift, seed=self.seed, image_id=item.image_id, pair=pair
            )
            size = crop_size(height, width, self.max_shift)
            yield Group(item, image, size, first, {pair: second})


def make_groups(
    items: Iterable[ImageItem], make: MakeGroups, *, strict: bool = True
) -> Iterator[Group]:
    """Reads the images in turn and yields their groups.

    Args:
        items: images.
        make: function from an image to its groups; raises ValueError if the image is too small.
        strict: whether an unusable image raises; otherwise it is left out with a warning.

    Raises:
        InputError: an unusable image, two images with the same id, or no image at all.
    """
    seen: set[str] = set()
    for item in items:
        if str(item.image_id) in seen:
            raise InputError(f"two images have the id {item.image_id!r}, but ids must be unique")
        seen.add(str(item.image_id))
        try:
            groups = list(make(item, check_image(item.read(), item.image_id)))
        except (InputError, ValueError) as error:
            if isinstance(error, InvalidOption):
                raise
            is_named = isinstance(error, InputError)
            message = str(error) if is_named else f"image {item.image_id!r}: {error}"
            if strict:
                raise InputError(message) from None
            warnings.warn(f"left out: {message}", stacklevel=2)
            continue
        yield from groups
    if not seen:
        raise InputError("there are no images")


def cut(group: Group, offset: Offset) -> np.ndarray:
    """Copies the crop of a group at an offset."""
    (y, x), (height, width) = offset, group.size
    assert group.image is not None  # predictions from files are not cut again
    return group.image[y : y + height, x : x + width].copy()


def compare_groups(
    predict: Predict, groups: Iterable[Group], rules: Rules, batch_size: int = 1
) -> Iterator[Compared]:
    """Predicts every crop once and compares the first of each group with the others.

    Args:
        predict: model as a function.
        groups: groups of crops.
        rules: rules for the comparison of instances.
        batch_size: maximum number of crops in a call of ``predict``.

    Raises:
        InputError: a prediction that cannot be used; the message names the crop.
    """
    if batch_size < 1:
        raise InvalidOption("batch_size", batch_size, "an integer from 1")
    crops = (
        (group, number, offset)
        for group in groups
        for number, offset in [(None, group.reference), *group.others.items()]
    )
    reference: dict = {}
    while batch := list(itertools.islice(crops, batch_size)):
        outputs = _predict(predict, [cut(group, offset) for group, _, offset in batch])
        for (group, number, offset), output in zip(batch, outputs, strict=True):
            name = f"image {group.item.image_id!r}, crop at {offset}"
            prediction = _read(output, group.size, rules, name)
            if number is None:
                reference = prediction
                continue
            place = group.item.image_id, number, (group.reference, offset), group.size
            try:
                record = compare(*place, reference, prediction, rules, group.item.truth)
            except InputError as error:
                raise InputError(f"{name}: {error}") from None
            yield Compared(record, reference, prediction, group)


def _predict(predict: Predict, crops: list[np.ndarray]) -> Sequence[Any]:
    outputs = predict(crops)
    is_list = isinstance(outputs, list | tuple) or hasattr(outputs, "shape")
    if not is_list or len(outputs) != len(crops):
        length = f", {len(outputs)} long" if is_list else ""
        raise InputError(
            f"predict returned {describe(outputs)}{length}, but must return a list of "
            f"{len(crops)}, a prediction for each crop"
        )
    return outputs


def _read(output: Any, size: tuple[int, int], rules: Rules, name: str) -> dict:
    try:
        return read_prediction(output, size, rules.score_thresh)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
