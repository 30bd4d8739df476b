"""How the images of nuclei were split: near-duplicates stay together.

Many images of BBBC038 are tiles of one field of view, or fields of one plate. Two images of the
same size belong to one group if

* one continues the other: the pixels along a border of one correlate by more than
  :data:`EDGE_CORRELATION` with those along the opposite border of the other;
* they look the same: thumbnails of 16 x 16 correlate by more than :data:`THUMBNAIL_CORRELATION`;
* they have the same colors: mean and standard deviation of each channel differ by at most
  :data:`COLOR_DISTANCE` of 255 levels;

or if a chain of such images connects them. Chance sometimes connects images that have nothing in
common, which does no harm.

Images are divided into strata by size and kind (fluorescence: dark ground; histology and bright
field: bright ground). In each stratum the groups are shuffled, and go to the validation set as long
as it does not exceed a fifth of the stratum. A group that is too large for that goes to training.
"""

import os
from collections import defaultdict
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from aa_detectron.data.images import read_image
from aa_detectron.utils.keyed_random import hash_key

EDGE_CORRELATION = 0.95
THUMBNAIL_CORRELATION = 0.9
COLOR_DISTANCE = 0.1
BRIGHT = 100
"""Mean of all channels, of 255, from which on an image has a bright ground."""
THUMBNAIL = 16


class Look(NamedTuple):
    """What is compared of an image."""

    size: tuple[int, int]
    """(height, width)"""
    colors: np.ndarray
    """(6,): mean and standard deviation of each channel."""
    edges: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    """Gray levels along the left, right, upper and lower border, standardized."""
    thumbnail: np.ndarray
    """Gray levels of 16 x 16 areas, standardized."""


def split_nuclei(folder: str, seed: int = 0, fraction: float = 0.2) -> tuple[list[str], list[str]]:
    """Splits the images of a folder by the rule above.

    Args:
        folder: stage1_train.
        seed: of the shuffling.
        fraction: of each stratum that goes to validation at most.

    Returns:
        sorted ids for training, and for validation.

    Raises:
        InputError: an image that is missing or unreadable.
    """
    ids = sorted(name for name in os.listdir(folder) if not name.startswith("."))
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
    edges = (values[:, 0], values[:, -1], values[0], values[-1])
    thumbnail = gray.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return Look(
        image.shape[:2],
        np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)]),
        tuple(map(_standardized, edges)),
        _standardized(np.asarray(thumbnail, float).ravel()),
    )


def are_near_duplicates(first: Look, second: Look) -> bool:
    """Whether one of the three reasons above puts two images into one group."""
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
    """(N,) group of each image: chains of near-duplicates."""
    linked = [[are_near_duplicates(a, b) for b in looks] for a in looks]
    return connected_components(np.array(linked), directed=False)[1]


def choose_groups(looks: list[Look], groups: np.ndarray, seed: int, fraction: float) -> list[bool]:
    """Whether each image goes to validation, by the rule above."""
    strata = defaultdict(list)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group).tolist()
        strata[is_bright([looks[i] for i in members]), looks[members[0]].size].append(members)
    chosen = set()
    for key, members in sorted(strata.items()):
        chosen.update(_draw(members, fraction, np.random.default_rng(hash_key(seed, *key))))
    return [index in chosen for index in range(len(looks))]


def is_bright(looks: list[Look]) -> bool:
    """Whether images are of histology or bright field, not of fluorescence, in the mean."""
    return bool(np.mean([look.colors[:3].mean() for look in looks]) >= BRIGHT)


def _draw(groups: list[list[int]], fraction: float, rng: np.random.Generator) -> list[int]:
    """Members of groups in random order, as many as fit into a fraction of all members."""
    room = round(fraction * sum(map(len, groups)))
    drawn = []
    for number in rng.permutation(len(groups)):
        if len(drawn) + len(groups[number]) <= room:
            drawn += groups[number]
    return drawn


def _standardized(values: np.ndarray) -> np.ndarray:
    """(n,) values with mean 0 and norm 1, so that a product is a correlation; 0 if constant."""
    centered = values - values.mean()
    norm = np.linalg.norm(centered)
    return centered / norm if norm else centered
