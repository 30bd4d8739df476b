"""Checks of a single record of a COCO file.

A check returns the problem, in words that follow the record's name, or None.
"""

import math

from aa_detectron.utils.coco_rle import rle_problem

NUMBERS = {int, float}
MAX_SIDE = 1_000_000
"""Maximum height and width of an image in pixels."""


def image_problem(image: dict) -> str | None:
    """Checks "id", "file_name", "height" and "width" of an image's record."""
    name = image["file_name"]
    if type(name) is not str or not name or "\0" in name:
        return f"file_name is {short(name)}, but must be a path"
    for key in ("height", "width"):
        side = image[key]
        if type(side) is not int or not 1 <= side <= MAX_SIDE:
            return f"{key} is {short(side)}, but must be an integer from 1 to {MAX_SIDE}"
    return id_problem(image["id"])


def id_problem(value: object, key: str = "id") -> str | None:
    """Checks that an id is a number or a text, so that it can be compared and written."""
    if type(value) is str or (type(value) in NUMBERS and is_finite([value])):
        return None
    return f"{key} is {short(value)}, but must be a number or a text"


def annotation_problem(annotation: dict, size: tuple[int, int]) -> str | None:
    """Checks what Detectron2 reads in an annotation, with or without masks.

    Args:
        annotation: COCO annotation with "bbox"; its other keys are optional.
        size: (height, width) of the image in pixels.
    """
    problem = bbox_problem(annotation["bbox"], size)
    if problem:
        return problem
    if annotation.get("iscrowd", 0) not in (0, 1):
        return f"iscrowd is {short(annotation['iscrowd'])}, but must be 0 or 1"
    if annotation.get("ignore", 0) != 0:
        return f"ignore is {short(annotation['ignore'])}, but must be 0: Detectron2 takes iscrowd"
    area = annotation.get("area", 0)
    if type(area) not in NUMBERS or not is_finite([area]) or area < 0:
        return f"area is {short(area)}, but must be a number of at least 0"
    if annotation.get("segmentation"):
        problem = segmentation_problem(annotation["segmentation"], size)
    elif annotation.get("segmentation") not in (None, []):
        problem = f"is {short(annotation['segmentation'])}, but must be polygons or RLE"
    if problem:
        return f"segmentation {problem}"
    return keypoints_problem(annotation["keypoints"]) if annotation.get("keypoints") else None


def bbox_problem(box: object, size: tuple[int, int]) -> str | None:
    """Checks a box [x, y, width, height] in an image of ``size`` (height, width), in pixels.

    Boxes without area are accepted, since COCO's own files have some; Detectron2 drops them from
    training. Boxes that reach beyond the image by less than its size are accepted, too.
    """
    legal = "four finite numbers x, y, width, height with width and height at least 0"
    if type(box) is not list or len(box) != 4 or not is_numeric(box) or min(box[2:]) < 0:
        return f"bbox is {short(box)}, but must be {legal}"
    for start, length, side in zip(box[:2], box[2:], size[::-1], strict=True):
        if start > side or start + length < 0 or (length > 0 and start == side):
            return f"bbox is {short(box)}, outside the image of {_pixels(size)}"
        if start < -side or start + length > 2 * side:
            return f"bbox is {short(box)}, far beyond the image of {_pixels(size)}"
    return None


def segmentation_problem(segmentation: object, size: tuple[int, int]) -> str | None:
    """Checks polygons or a mask in RLE in an image of ``size`` (height, width), in pixels."""
    if isinstance(segmentation, dict):
        return rle_problem(segmentation, *size)
    if type(segmentation) is not list:
        return f"is {short(segmentation)}, but must be a list of polygons or a mask in RLE"
    for number, polygon in enumerate(segmentation):
        problem = polygon_problem(polygon, size)
        if problem:
            return f"polygon {number} {problem}"
    return None


def polygon_problem(polygon: object, size: tuple[int, int]) -> str | None:
    """Checks a polygon [x, y, x, y, ...] in an image of ``size`` (height, width), in pixels."""
    if type(polygon) is not list or not is_numeric(polygon):
        return f"is {short(polygon)}, but must be a list of finite numbers x, y, x, y, ..."
    if len(polygon) < 6 or len(polygon) % 2:
        return f"has {len(polygon)} numbers, but must have an even number of at least 6"
    for axis, side in ((0, size[1]), (1, size[0])):
        low, high = min(polygon[axis::2]), max(polygon[axis::2])
        if high < 0 or low > side:
            return f"lies outside the image of {_pixels(size)}"
        if low < -side or high > 2 * side:  # pycocotools' memory grows with the length of edges
            return f"reaches far beyond the image of {_pixels(size)}"
    return None


def keypoints_problem(keypoints: object) -> str | None:
    """Checks keypoints [x, y, visibility, ...]."""
    if type(keypoints) is list and len(keypoints) % 3 == 0 and is_numeric(keypoints):
        return None
    return f"keypoints are {short(keypoints)}, but must be finite numbers x, y, v, x, y, v, ..."


def is_numeric(values: list) -> bool:
    """Whether all values are JSON numbers and finite."""
    return set(map(type, values)) <= NUMBERS and is_finite(values)


def is_finite(numbers: list) -> bool:
    """Whether the sum of the numbers, and so each number, is a finite float."""
    try:
        return math.isfinite(sum(numbers, 0.0))
    except OverflowError:
        return False


def short(value: object) -> str:
    """The representation of a value, cut to at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} pixels (height x width)"
