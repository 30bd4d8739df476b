"""Outlines of the six classes of Shapes, and their rasterization."""

import math

import numpy as np
from pycocotools import mask as coco_mask

CLASSES = ["ellipse", "rectangle", "triangle", "star", "cross", "ring"]

# Narrowest height : width before rotation. Stars and crosses lose their look when squeezed, and a
# squeezed ring's band falls below a feature map's cell.
NARROWEST = {
    "ellipse": 0.5, "rectangle": 0.4, "triangle": 0.75, "star": 0.85, "cross": 0.85, "ring": 0.8,
}  # fmt: skip
STAR_WAIST = 0.45
CROSS_ARM = 0.33
RING_HOLE = 0.5
SUPERSAMPLING = 4


def cos_sin(degrees: float) -> tuple[float, float]:
    """Cosine and sine, rounded to 6 decimals: the last bits differ between math libraries."""
    angle = math.radians(degrees)
    return round(math.cos(angle), 6), round(math.sin(angle), 6)


def _circle(points: int, start_degrees: float = 0) -> np.ndarray:
    return np.array([cos_sin(start_degrees + 360 * i / points) for i in range(points)])


def _star() -> np.ndarray:
    star = _circle(10, -90)
    star[1::2] *= STAR_WAIST
    return star


_A = CROSS_ARM
_CIRCLE = _circle(40)
# Each class as its polygons, the outer one first and then its holes, within the unit circle or
# square.
UNIT_POLYGONS = {
    "ellipse": [_CIRCLE],
    "rectangle": [np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])],
    "triangle": [_circle(3, -90)],
    "star": [_star()],
    "cross": [
        np.array(
            [[-_A, -1], [_A, -1], [_A, -_A], [1, -_A], [1, _A], [_A, _A],
             [_A, 1], [-_A, 1], [-_A, _A], [-1, _A], [-1, -_A], [-_A, -_A]]
        )
    ],
    "ring": [_CIRCLE, _CIRCLE * RING_HOLE],
}  # fmt: skip


def shape_polygons(name: str, aspect: float, degrees: int, side: float) -> list[np.ndarray]:
    """One rotated shape with its bounding box's corner at the origin.

    Args:
        name: one of CLASSES.
        aspect: height : width before rotation, in (0, 1].
        degrees: angle of the rotation.
        side: length in px of the longer side of the box around the rotated shape.

    Returns:
        Polygons, each (points, 2) as x, y in px; the outer one, then any hole.
    """
    cos, sin = cos_sin(degrees)
    # Written out, since a matrix product may go through BLAS, whose rounding is the machine's own.
    turned = [
        np.stack([x * cos - y * aspect * sin, x * sin + y * aspect * cos], axis=1)
        for x, y in (polygon.T for polygon in UNIT_POLYGONS[name])
    ]
    corner, extent = turned[0].min(axis=0), np.ptp(turned[0], axis=0).max()
    return [(polygon - corner) * (side / extent) for polygon in turned]


def polygon_mask(polygons: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Rasterizes a shape as the COCO API does.

    Args:
        polygons: the outer polygon and its holes, each (points, 2) as x, y in px.
        height: height of the image in px.
        width: width of the image in px.

    Returns:
        (height, width) bool.
    """
    rles = coco_mask.frPyObjects([p.ravel().tolist() for p in polygons], height, width)
    outer, *holes = np.moveaxis(coco_mask.decode(rles).astype(bool), -1, 0)
    for hole in holes:
        outer = outer & ~hole
    return outer


def coverage(polygons: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """How much of each pixel a shape covers, as a camera's sensor would see its edge.

    Args:
        polygons, height, width: see :func:`polygon_mask`.

    Returns:
        (height, width) int32 in 0..SUPERSAMPLING**2.
    """
    s = SUPERSAMPLING
    fine = polygon_mask([p * s for p in polygons], height * s, width * s)
    return fine.reshape(height, s, width, s).sum(axis=(1, 3), dtype=np.int32)
