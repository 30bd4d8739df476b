"""Rule that split the images of nuclei: near-duplicates stay together.

Many images of BBBC038 are tiles of one field of view, or fields of one plate. Two images of the
same size belong to one group if

* one continues the other: the pixels along a border of one image and the pixels along the opposite
  border of the other correlate by more than :data:`EDGE_CORRELATION`;
* they look the same: thumbnails of 16 x 16 correlate by more than :data:`THUMBNAIL_CORRELATION`;
* they have the same colors: mean and standard deviation of each channel differ by at most
  :data:`COLOR_DISTANCE` gray levels of 255;

or if a chain of such images connects them. Chance sometimes connects unrelated images, which does
no harm.

Images are divided into strata by size and kind (fluorescence: dark ground; histology and bright
field: bright ground). The groups of each stratum are shuffled. A group goes to the validation set
if the validation images then are at most a fifth of the stratum, rounded to whole images, and to
training otherwise.
"""

import os
from collections import defaultdict
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from aa_detectron.data.images import read_image
from aa_detectron.errors import InputError
from aa_detectron.utils.hashing import hash_key

EDGE_CORRELATION = 0.95
THUMBNAIL_CORRELATION = 0.9
COLOR_DISTANCE = 0.1
BRIGHT = 100
"""Least mean of all channels (0 to 255) of images with a bright ground."""
THUMBNAIL = 16
"""Side of a thumbnail in pixels."""


class Look(NamedTuple):
    """The features of an image that are compared."""

    size: tuple[int, int]
    """(height, width)"""
    colors: np.ndarray
    """(6,): mean and standard deviation of each channel."""
    edges: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    """Standardized gray levels along the left, right, upper and lower border."""
    thumbnail: np.ndarray
    """(256,): standardized gray levels of 16 x 16 areas."""


def split_nuclei(folder: str, seed: int = 0, fraction: float = 0.2) -> tuple[list[str], list[str]]:
    """Splits the images of a folder by the rule above.

    Args:
        folder: path of stage1_train.
        seed: seed of the shuffling.
        fraction: maximum fraction of each stratum that goes to validation; the number of images
            is rounded.

    Returns:
        Sorted ids of the training images, and of the validation images.

    Raises:
        InputError: the folder, or an image in it, is missing or unreadable.
    """
    try:
        ids = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    paths = [os.path.join(folder, name, "images", f"{name}.png") for name in ids]
    images = (read_image({"file_name": path}, "RGB") for path in tqdm(paths, unit="img"))
    looks = [look_of(image) for image in images]
    chosen = choose_groups(looks, group_numbers(looks), seed, fraction)
    val = [name for name, is_chosen in zip(ids, chosen, strict=True) if is_chosen]
    return [name for name in ids if name not in set(val)], val


def look_of(image: np.ndarray) -> Look:
    """The look of an (H, W, 3) uint8 image."""
    pixels = image.reshape(-1, 3).astype(float)
    gray = Image.fromarray(image).convert("L")
    values = np.asarray(gray, float)
    left, right, top, bottom = values[:, 0], values[:, -1], values[0], values[-1]
    thumbnail = gray.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return Look(
        image.shape[:2],
        np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)]),
        (_standardized(left), _standardized(right), _standardized(top), _standardized(bottom)),
        _standardized(np.asarray(thumbnail, float).ravel()),
    )


def are_near_duplicates(first: Look, second: Look) -> bool:
    """Whether one of the three criteria above puts two images into one group."""
    if first.size != second.size:
        return False
    (left, right, top, bottom), others = first.edges, second.edges
    continued = max(left @ others[1], right @ others[0], top @ others[3], bottom @ others[2])
    return bool(
        continued > EDGE_CORRELATION
        or first.thumbnail @ second.thumbnail > THUMBNAIL_CORRELATION
        or np.abs(first.colors - second.colors).max() <= COLOR_DISTANCE
    )


def group_numbers(looks: list[Look]) -> np.ndarray:
    """(N,) group number of each image: chains of near-duplicates."""
    linked = [[are_near_duplicates(a, b) for b in looks] for a in looks]
    return connected_components(np.array(linked), directed=False)[1]


def choose_groups(looks: list[Look], groups: np.ndarray, seed: int, fraction: float) -> list[bool]:
    """Whether each image goes to validation, by the rule above."""
    strata: defaultdict[tuple[bool, tuple[int, int]], list[list[int]]] = defaultdict(list)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group).tolist()
        strata[is_bright([looks[i] for i in members]), looks[members[0]].size].append(members)
    chosen: set[int] = set()
    for key, stratum in sorted(strata.items()):
        chosen.update(_draw(stratum, fraction, np.random.default_rng(hash_key(seed, *key))))
    return [index in chosen for index in range(len(looks))]


def is_bright(looks: list[Look]) -> bool:
    """Whether the mean of the images is as bright as in histology or bright field."""
    return bool(np.mean([look.colors[:3].mean() for look in looks]) >= BRIGHT)


def _draw(groups: list[list[int]], fraction: float, rng: np.random.Generator) -> list[int]:
    """Members of groups in random order; groups that exceed the fraction of members are skipped."""
    room = round(fraction * sum(map(len, groups)))
    drawn: list[int] = []
    for number in rng.permutation(len(groups)):
        if len(drawn) + len(groups[number]) <= room:
            drawn += groups[number]
    return drawn


def _standardized(values: np.ndarray) -> np.ndarray:
    """(n,) values with mean 0 and norm 1, so that a dot product is a correlation; 0 if constant."""
    centered = values - values.mean()
    norm = np.linalg.norm(centered)
    return centered / norm if norm else centered
