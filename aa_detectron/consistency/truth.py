"""Ground truth of an image: its check, and the pixels that count."""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from aa_detectron.errors import InputError
from aa_detectron.utils.coco_rle import rle_problem

from .adapters.values import describe, to_array
from .shifts import Offset

Size = tuple[int, int]


def check_truth(truth: Any, size: Size, image_id: Any, *, exact: bool = True) -> None:
    """Checks ground truth that the user passes.

    Args:
        truth: ground truth of an image, see
            :class:`~aa_detectron.consistency.sources.images.ImageItem`; None if it is unknown.
        size: size (height, width) of the image in pixels.
        image_id: id of the image, for the message.
        exact: whether the masks and the label map must have this size; otherwise they may be
            larger, see :func:`reach`.

    Raises:
        InputError: objects without classes, fields of unequal lengths, or another size.
    """
    if truth is None:
        return
    try:
        _check(truth, size, exact)
    except InputError as error:
        raise InputError(f"image {image_id!r}: {error}") from None


def reach(offsets: Iterable[Offset], size: Size) -> Size:
    """Least size (height, width) of an image with crops of ``size`` at these offsets (y, x)."""
    rows, columns = zip(*offsets, strict=True)
    return max(rows) + size[0], max(columns) + size[1]


def _check(truth: Any, size: Size, exact: bool) -> None:
    if not isinstance(truth, Mapping):
        raise InputError(f"ground truth is {describe(truth)}, but must be a dict or None")
    if "boxes" in truth:
        _check_objects(truth, size, exact)
    if "sem_seg" in truth:
        labels = to_array(truth["sem_seg"], "sem_seg of ground truth")
        if labels.ndim != 2 or labels.dtype.kind not in "iub":
            found = f"sem_seg of ground truth is {describe(labels)}"
            raise InputError(f"{found}, but must have (H, W) integers")
        _check_size("sem_seg", labels.shape, size, exact)
    label = truth.get("class")
    if label is not None and (not isinstance(label, Integral) or isinstance(label, bool)):
        raise InputError(f"class of ground truth is {describe(label)}, but must be an integer")


def _check_objects(truth: Mapping, size: Size, exact: bool) -> None:
    classes = to_array(truth.get("classes"), "classes of ground truth")
    boxes = to_array(truth["boxes"], "boxes of ground truth")
    number = len(classes) if classes.ndim == 1 else -1
    is_empty = boxes.size == 0 == number
    if number < 0 or (boxes.shape != (number, 4) and not is_empty):
        found = f"boxes of shape {boxes.shape} and classes of shape {classes.shape}"
        raise InputError(f"ground truth has {found}, but must have (N, 4) and (N,)")
    masks = truth.get("masks", ())
    if "masks" in truth and len(masks) != number:
        raise InputError(f"ground truth has {len(masks)} masks, but must have {number}, as classes")
    for shape in _shapes(masks):
        _check_size("masks", shape, size, exact)


def _shapes(masks: np.ndarray | Sequence[Mapping]) -> list[Sequence[int]]:
    """Sizes (height, width) of masks.

    Raises:
        InputError: an RLE that cannot be decoded, or anything except masks.
    """
    if isinstance(masks, np.ndarray):
        return [masks.shape[1:]]
    shapes = []
    for number, mask in enumerate(masks):
        shape = mask.get("size") if isinstance(mask, Mapping) else None
        if not isinstance(shape, Sequence) or len(shape) != 2:
            legal = "an array (N, H, W) or a list of COCO RLEs"
            raise InputError(f"mask {number} of ground truth is {describe(mask)}, not {legal}")
        problem = rle_problem(mask, *shape)
        if problem:
            raise InputError(f"mask {number} of ground truth {problem}")
        shapes.append(shape)
    return shapes


def _check_size(name: str, found: Sequence[int], size: Size, exact: bool) -> None:
    is_right = tuple(found) == tuple(size)
    if not exact and len(found) == 2:
        is_right = found[0] >= size[0] and found[1] >= size[1]
    if not is_right:
        legal = f"{size[0]}x{size[1]}, as the image" if exact else f"at least {size[0]}x{size[1]}"
        shown = "x".join(map(str, found))
        raise InputError(f"{name} of ground truth have {shown} pixels, but must have {legal}")


def counted_pixels(truth: Mapping) -> np.ndarray | None:
    """Mask (H, W) bool of the pixels whose label is not the ignore label.

    Args:
        truth: checked ground truth.

    Returns:
        None if all pixels count: without a label map or an ignore label.
    """
    if "sem_seg" not in truth or truth.get("ignore_label") is None:
        return None
    return np.asarray(truth["sem_seg"]) != truth["ignore_label"]
