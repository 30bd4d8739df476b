"""Crops of images, their predictions and their records, with one crop in memory at a time."""

import contextlib
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from aa_detectron.errors import InputError, InvalidOption, check_from_1
from aa_detectron.utils.memory import returning_memory

from .adapters.predictions import read_prediction
from .adapters.values import describe
from .compare import Rules, compare
from .records import start_record
from .shift_kinds import Crops, ShiftKind, shift_kind
from .shifts import Offset, Position
from .sources.images import ImageItem, check_image
from .truth import check_truth

Predict = Callable[..., Sequence[Any]]
"""Function from crops, each (H, W, 3) uint8 RGB, to as many predictions.

A function with the attribute ``needs_offsets`` True has a second argument, the crops' offsets.
"""


class Group(NamedTuple):
    """Crops of an image; the first crop is compared with every other crop."""

    item: ImageItem
    image: np.ndarray | None
    """Image (H, W, 3) uint8 RGB; None if only the predictions are known."""
    size: tuple[int, int]
    """Size (height, width) of all crops in pixels."""
    reference: Position
    """Offset of the first crop."""
    others: dict[int, Position]
    """Offsets of the other crops by pair number."""
    kind: ShiftKind = Crops()


class Compared(NamedTuple):
    """A record and the two predictions that it compares, each in its frame."""

    record: dict
    first: dict
    second: dict
    group: Group
    frames: tuple[Offset, Offset]
    """Offsets of the two frames, see :class:`~aa_detectron.consistency.shift_kinds.ShiftKind`."""


class CropError(InputError):
    """A prediction that a wrapper around a predictor cannot use.

    Args:
        message: one line that says what was found and what is legal.
        crop: the prediction's crop, the same array that the wrapper has received.
    """

    def __init__(self, message: str, crop: np.ndarray | None = None):
        super().__init__(message)
        self.crop = crop


@contextlib.contextmanager
def of_crop(crop: np.ndarray) -> Iterator[None]:
    """Raises an InputError of the block as a :class:`CropError` of this crop."""
    try:
        yield
    except InputError as error:
        raise CropError(str(error), crop) from None


def needs_offsets(predict: Predict) -> bool:
    """Whether a predictor takes the offsets of the crops as its second argument."""
    return getattr(predict, "needs_offsets", False) is True


MakeGroups = Callable[[ImageItem, np.ndarray], Iterable[Group]]


class PairGroups(NamedTuple):
    """Groups of random pairs, see :mod:`~aa_detectron.consistency.shifts`."""

    max_shift: int = 32
    pairs_per_image: int = 1
    seed: int = 0
    shifts: str = "crop"
    steps_per_pixel: int = 4

    def __call__(self, item: ImageItem, image: np.ndarray) -> Iterator[Group]:
        height, width = image.shape[:2]
        kind = shift_kind(self.shifts, self.steps_per_pixel)
        size = kind.size(height, width, self.max_shift)
        for pair in range(self.pairs_per_image):
            first, second = kind.draw(
                height, width, self.max_shift, seed=self.seed, image_id=item.image_id, pair=pair
            )
            yield Group(item, image, size, first, {pair: second}, kind)


def make_groups(
    items: Iterable[ImageItem], make: MakeGroups, *, strict: bool = True
) -> Iterator[Group]:
    """Reads the images in turn and yields their groups.

    Args:
        items: images.
        make: function from an image to its groups; raises ValueError if the image is too small.
        strict: whether an unusable image raises; otherwise it is left out with a warning.

    Raises:
        InputError: an unusable image or ground truth, two images with the same id, or no image that
            can be used.
    """
    seen: set[str] = set()
    is_any, first_problem = False, ""
    for item in items:
        if str(item.image_id) in seen:
            raise InputError(f"two images have the id {item.image_id!r}, but ids must be unique")
        seen.add(str(item.image_id))
        try:
            image = check_image(item.read(), item.image_id)
            check_truth(item.truth, image.shape[:2], item.image_id)
            groups = list(make(item, image))
        except (InputError, ValueError) as error:
            if isinstance(error, InvalidOption):
                raise
            is_named = isinstance(error, InputError)
            message = str(error) if is_named else f"image {item.image_id!r}: {error}"
            if strict:
                raise InputError(message) from None
            warnings.warn(f"left out: {message}", stacklevel=2)
            first_problem = first_problem or message
            continue
        is_any = True
        yield from groups
    if not seen:
        raise InputError("there are no images")
    if not is_any:
        raise InputError(f"no image can be used; the first one: {first_problem}")


def cut(group: Group, offset: Position) -> np.ndarray:
    """Copies the crop of a group at an offset."""
    assert group.image is not None  # predictions from files are not cut again
    return group.kind.cut(group.image, offset, group.size)


def place(group: Group, offset: Position, output: Any, rules: Rules) -> dict:
    """Converts a model's output for the crop at an offset to a plain prediction in its frame.

    Raises:
        InputError: an output that cannot be used.
    """
    prediction = read_prediction(output, group.size, rules.score_thresh)
    return group.kind.place(prediction, offset, group.reference, group.size)


def compare_in(group: Group, number: int, first: dict, second: dict, rules: Rules) -> Compared:
    """Compares two predictions of a group in their frames.

    Args:
        group: group of the crops.
        number: number of the pair; the first prediction is the reference's.
        first, second: predictions from :func:`place`.
        rules: rules for the comparison of instances.

    Raises:
        InputError: the two predictions hold different kinds of output.
    """
    item, kind, offsets = group.item, group.kind, (group.reference, group.others[number])
    frames = kind.frame(offsets[0], offsets[0]), kind.frame(offsets[1], offsets[0])
    place, size = (item.image_id, number, frames), kind.frame_size(group.size)
    record = compare(*place, size, first, second, rules, item.truth)
    record |= start_record(item.image_id, number, offsets, group.size)
    return Compared(record, first, second, group, frames)


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
    check_from_1("batch_size", batch_size)
    crops = (
        (group, number, offset)
        for group in groups
        for number, offset in [(None, group.reference), *group.others.items()]
    )
    reference: dict = {}
    batches = iter(lambda: list(itertools.islice(crops, batch_size)), [])
    for batch in returning_memory(batches):
        outputs = _predict_batch(predict, [(group, offset) for group, _, offset in batch])
        for (group, number, offset), output in zip(batch, outputs, strict=True):
            try:
                prediction = place(group, offset, output, rules)
                if number is None:
                    reference = prediction
                    continue
                found = compare_in(group, number, reference, prediction, rules)
            except InputError as error:
                raise _named(error, group, offset) from None
            yield found


def _predict_batch(predict: Predict, places: list[tuple[Group, Position]]) -> Sequence[Any]:
    """Predicts the crops of groups at offsets."""
    inputs = [cut(*place) for place in places]
    try:
        return predict_crops(predict, inputs, [offset for _, offset in places])
    except CropError as error:
        found = [p for p, crop in zip(places, inputs, strict=True) if crop is error.crop] or places
        if len(found) > 1:  # a wrapper of a wrapper has copied the crops
            raise
        raise _named(error, *found[0]) from None


def _named(error: InputError, group: Group, offset: Position) -> InputError:
    return InputError(f"image {group.item.image_id!r}, crop at {offset}: {error}")


def predict_crops(
    predict: Predict, crops: list[np.ndarray], offsets: Sequence[Position] = ()
) -> Sequence[Any]:
    """Predicts crops in one call.

    Args:
        predict: model as a function.
        crops: crops, each (H, W, 3) uint8 RGB.
        offsets: offsets of the crops, for a predictor that needs them.

    Returns:
        a prediction for each crop.

    Raises:
        InputError: the predictor returns no list, or one of another length.
    """
    outputs = predict(crops, offsets) if needs_offsets(predict) else predict(crops)
    is_list = isinstance(outputs, list | tuple) or hasattr(outputs, "shape")
    if not is_list or len(outputs) != len(crops):
        length = f", {len(outputs)} long" if is_list else ""
        raise InputError(
            f"predict returned {describe(outputs)}{length}, but must return a list of "
            f"{len(crops)}, a prediction for each crop"
        )
    return outputs
