"""Scenes of Shapes: textured objects, some hiding parts of others, on textured ground."""

from dataclasses import dataclass

import numpy as np

from . import textures
from .geometry import (
    CLASSES,
    NARROWEST,
    SUPERSAMPLING,
    coverage,
    polygon_mask,
    shape_polygons,
)

# Difficulty. Levels are of 0..255; raise generate.VERSION with any change here.
OBJECTS = (3, 6)  # least and most in an image, as far as there is room
SIDES = (28, 54)  # longest side of an object, % of the image's shorter side
SMALL_SIDES, SMALL_CHANCE = (16, 28), 8  # longest side of small objects, and their fraction in %
VISIBLE = 70  # least part of an object left visible by those in front, in %
PLACEMENTS = 20  # attempts to place an object
CONTRAST = 200  # least difference of mean color from the surroundings, summed over R, G, B
COLORS = 20  # attempts to reach that contrast
BASE = (50, 206)  # range of mean colors, short of 0..255 to leave room for texture
OBJECT_AMPLITUDE = (20, 45)  # amplitude of an object's pattern
GROUND_AMPLITUDE = (8, 28)  # amplitude of the ground's patterns
PHOTO_CONTRAST = (
    60  # contrast of a photograph on an object, % of its own; more would split the object
)
GROUND_CONTRAST = 70  # contrast of a photograph as ground, % of its own
PLAIN_CHANCE = 30  # fraction of objects without any texture, in %
LIGHT = 25  # amplitude of the uneven lighting
NOISE = 8  # greatest level of the sensor's noise
SINGLE_SIDES = (35, 60)  # longest side of an object that has an image to itself, in %
OFF_CENTER = 10  # greatest distance from the image's center along each axis, % of the shorter side


@dataclass
class SceneObject:
    """An object: its class, polygons in px (the outer polygon, then holes), and visible pixels."""

    category: str
    polygons: list[np.ndarray]  # (points, 2) each, rounded to 0.01 px
    area: int  # px of the whole object
    visible: np.ndarray  # (height, width) bool

    @property
    def is_occluded(self) -> bool:
        return int(self.visible.sum()) < self.area


def _percent(rng: np.random.RandomState, chance: int) -> bool:
    return rng.randint(100) < chance


def _uses_photo(rng: np.random.RandomState, source: str) -> bool:
    """Whether to take a photograph; draws a number in any case, to keep the options comparable."""
    coin = rng.randint(2)
    return source == "photo" or (source == "mixed" and coin == 1)


def _pattern_detail(
    rng: np.random.RandomState, height: int, width: int, amplitude: tuple[int, int]
) -> np.ndarray:
    """A pattern in a random tint around zero: (height, width, 3) int32."""
    strength = rng.randint(*amplitude) * (2 * rng.randint(2) - 1)
    tint = strength + rng.randint(-amplitude[0], amplitude[0] + 1, 3)
    return textures.pattern(rng, height, width)[..., None] * tint // textures.UNIT


def draw_ground(
    rng: np.random.RandomState, height: int, width: int, split: str, source: str
) -> np.ndarray:
    """Ground of a scene.

    Args:
        rng: generator of all random numbers.
        height: height in px.
        width: width in px.
        split: "train" or "val"; it selects the parts of the photographs.
        source: "procedural", "photo" or "mixed" (either at random).

    Returns:
        (height, width, 3) int32, about 0..255.
    """
    if _uses_photo(rng, source):
        photo = textures.photo_patch(rng, height, width, split)
        mean = photo.sum(axis=(0, 1)) // (height * width)
        return mean + (photo - mean) * GROUND_CONTRAST // 100 + rng.randint(-25, 26, 3)
    base = rng.randint(*BASE, 3)
    one, other = (_pattern_detail(rng, height, width, GROUND_AMPLITUDE) for _ in range(2))
    # Two patterns that melt into each other where the smooth noise changes its sign.
    blend = textures.smooth_noise(rng, height, width, 32)[..., None]
    blend = np.clip(128 + 2 * blend, 0, 256)
    clouds = textures.smooth_noise(rng, height, width, 16)[..., None] * rng.randint(0, 30, 3)
    return base + (one * blend + other * (256 - blend)) // 256 + clouds // textures.UNIT


def draw_detail(
    rng: np.random.RandomState, height: int, width: int, split: str, source: str
) -> np.ndarray:
    """Texture of an object around its mean color: (height, width, 3) int32.

    Args:
        rng, height, width, split, source: see :func:`draw_ground`.
    """
    use_photo = _uses_photo(rng, source)
    if _percent(rng, PLAIN_CHANCE):
        return np.zeros((height, width, 3), np.int32)
    if use_photo:
        detail = textures.photo_patch(rng, height, width, split) * PHOTO_CONTRAST // 100
    else:
        detail = _pattern_detail(rng, height, width, OBJECT_AMPLITUDE)
    return detail - detail.sum(axis=(0, 1)) // (height * width)


def _contrasting_color(rng: np.random.RandomState, surroundings: np.ndarray) -> np.ndarray:
    """A random mean color that contrasts with `surroundings` ((N, 3)): (3,) ints."""
    mean = surroundings.sum(axis=0) // max(1, len(surroundings))
    colors = rng.randint(*BASE, (COLORS, 3))
    differences = np.abs(colors - mean).sum(axis=1)
    # The first that differs enough, or else the one that differs most.
    enough = np.flatnonzero(differences >= CONTRAST)
    return colors[enough[0] if len(enough) else differences.argmax()]


def _random_polygons(
    rng: np.random.RandomState, category: str, height: int, width: int
) -> list[np.ndarray]:
    """A shape of random form, size and place within the image, rounded to 0.01 px."""
    low, high = SMALL_SIDES if _percent(rng, SMALL_CHANCE) else SIDES
    short = min(height, width)
    side = rng.randint(short * low, short * high + 1) / 100
    aspect = rng.randint(round(100 * NARROWEST[category]), 101) / 100
    polygons = shape_polygons(category, aspect, rng.randint(360), side)
    room = np.array([width, height]) - polygons[0].max(axis=0)
    corner = [rng.randint(int(100 * r)) / 100 for r in room]
    return [np.round(polygon + corner, 2) for polygon in polygons]


def _place(
    rng: np.random.RandomState, objects: list[SceneObject], height: int, width: int
) -> SceneObject | None:
    """A new object that leaves objects behind it visible enough; None if there is no room."""
    category = CLASSES[rng.randint(len(CLASSES))]
    for _ in range(PLACEMENTS):
        polygons = _random_polygons(rng, category, height, width)
        mask = polygon_mask(polygons, height, width)
        if mask.any() and all(
            100 * int((other.visible & ~mask).sum()) >= VISIBLE * other.area for other in objects
        ):
            return SceneObject(category, polygons, int(mask.sum()), mask)
    return None


def _window(polygon: np.ndarray, height: int, width: int, margin: int = 4) -> tuple[slice, slice]:
    """The part of the image around a polygon, as a pair of slices."""
    x0, y0 = np.maximum(np.floor(polygon.min(axis=0)).astype(int) - margin, 0)
    x1, y1 = np.ceil(polygon.max(axis=0)).astype(int) + margin
    return slice(y0, min(y1, height)), slice(x0, min(x1, width))


def _paint(
    rng: np.random.RandomState,
    image: np.ndarray,
    scene_object: SceneObject,
    split: str,
    source: str,
) -> None:
    """Draws an object over `image` ((height, width, 3) int32), in place."""
    rows, columns = _window(scene_object.polygons[0], *image.shape[:2])
    under = image[rows, columns]
    height, width = under.shape[:2]
    polygons = [polygon - (columns.start, rows.start) for polygon in scene_object.polygons]
    alpha = coverage(polygons, height, width)[..., None]
    color = _contrasting_color(rng, under[alpha[..., 0] == 0])
    over = np.clip(color + draw_detail(rng, height, width, split, source), 0, 255)
    full = SUPERSAMPLING**2
    image[rows, columns] = (over * alpha + under * (full - alpha) + full // 2) // full


def _expose(rng: np.random.RandomState, image: np.ndarray) -> np.ndarray:
    """Uneven lighting and the sensor's noise: (height, width, 3) uint8."""
    height, width = image.shape[:2]
    light = textures.smooth_noise(rng, height, width, 64)[..., None] * LIGHT // textures.UNIT
    level = rng.randint(2, NOISE + 1)
    grains = rng.randint(0, 256, (2, *image.shape), dtype=np.uint8).astype(np.int32)
    # The sum of two uniform distributions is close to a real sensor's normal distribution.
    noise = (grains[0] + grains[1] - 255) * level // 256
    return np.clip(image + light + noise, 0, 255).astype(np.uint8)


def render_scene(
    rng: np.random.RandomState, height: int, width: int, split: str, ground: str, texture: str
) -> tuple[np.ndarray, list[SceneObject]]:
    """Draws a scene.

    Args:
        rng: generator of all random numbers.
        height: height in px.
        width: width in px.
        split: "train" or "val"; it selects the parts of the photographs.
        ground: texture of the ground: "procedural", "photo" or "mixed".
        texture: texture of the objects: "procedural", "photo" or "mixed".

    Returns:
        The (height, width, 3) uint8 RGB image, and its objects from back to front.
    """
    image = draw_ground(rng, height, width, split, ground).astype(np.int32)
    objects: list[SceneObject] = []
    for _ in range(rng.randint(OBJECTS[0], OBJECTS[1] + 1)):
        new = _place(rng, objects, height, width)
        if new is None:
            continue
        _paint(rng, image, new, split, texture)
        for other in objects:
            other.visible &= ~new.visible
        objects.append(new)
    return _expose(rng, image), objects


def render_single(
    rng: np.random.RandomState,
    category: str,
    height: int,
    width: int,
    split: str,
    ground: str,
    texture: str,
) -> np.ndarray:
    """Draws a scene with a single object of a given class near the center.

    Args:
        category: one of CLASSES.
        rng, height, width, split, ground, texture: see :func:`render_scene`.

    Returns:
        The (height, width, 3) uint8 RGB image.
    """
    image = draw_ground(rng, height, width, split, ground).astype(np.int32)
    short = min(height, width)
    side = rng.randint(short * SINGLE_SIDES[0], short * SINGLE_SIDES[1] + 1) / 100
    aspect = rng.randint(round(100 * NARROWEST[category]), 101) / 100
    polygons = shape_polygons(category, aspect, rng.randint(360), side)
    off_center = rng.randint(-short * OFF_CENTER, short * OFF_CENTER + 1, 2) / 100
    corner = (np.array([width, height]) - polygons[0].max(axis=0)) / 2 + off_center
    polygons = [np.round(polygon + corner, 2) for polygon in polygons]
    mask = polygon_mask(polygons, height, width)
    _paint(rng, image, SceneObject(category, polygons, int(mask.sum()), mask), split, texture)
    return _expose(rng, image)
