"""Writes Shapes to disk: scenes with COCO annotations and label maps, or single objects."""

import functools
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from tqdm import tqdm

from aa_detectron.errors import InputError, InvalidOption, check_choice
from aa_detectron.utils.processes import process_map

from .geometry import CLASSES
from .scene import SceneObject, render_scene, render_single

VERSION = 2  # raised whenever the same options give other files
SOURCES = ["procedural", "photo", "mixed"]
SPLITS = ["train", "val"]
FOLDERS = {"scenes": "shapes", "classification": "shapes_classification"}  # by task
SMALLEST = 32  # px; below, the objects of the small classes are a few pixels
LARGEST = 4096  # px; an image takes about 24 bytes a pixel while it is drawn
MOST_WORKERS = 1024
MOST = 999_999  # images of a split, whose names have six digits

DrawAll = Callable[[Callable[[int], object]], list]
"""Calls a function for the numbers of all images of a split; returns the results in order."""


@dataclass(frozen=True)
class Options:
    """What determines every pixel and byte of the dataset; InvalidOption where out of range."""

    train: int = 3000  # images
    val: int = 500
    height: int = 128  # px, at least SMALLEST
    width: int = 128
    seed: int = 0  # 0..2**32-1
    ground: str = "mixed"  # one of SOURCES
    texture: str = "mixed"  # one of SOURCES
    task: str = "scenes"  # one of FOLDERS
    version: int = VERSION

    def __post_init__(self) -> None:
        for name in SPLITS:
            if not 1 <= getattr(self, name) <= MOST:
                legal = f"at least 1 image and at most {MOST}"
                raise InvalidOption(name, getattr(self, name), legal)
        if not SMALLEST <= min(self.height, self.width) <= max(self.height, self.width) <= LARGEST:
            size = f"{self.height}x{self.width}"
            legal = f"at least {SMALLEST}x{SMALLEST} px and at most {LARGEST}x{LARGEST}"
            raise InvalidOption("size", size, legal)
        if not 0 <= self.seed < 2**32:
            raise InvalidOption("seed", self.seed, "in 0..2**32-1")
        check_choice("task", self.task, list(FOLDERS))
        check_choice("ground", self.ground, SOURCES)
        check_choice("texture", self.texture, SOURCES)


DEFAULTS = {
    "scenes": Options(),
    "classification": Options(task="classification", train=6000, val=1200, height=80, width=80),
}  # by task


def draw_image(options: Options, split: str, index: int) -> tuple[np.ndarray, list[SceneObject]]:
    """Image `index` (from 0) of a split; no other image and no other split's size affects it.

    Returns:
        Image and objects, see :func:`.scene.render_scene`.
    """
    rng = np.random.RandomState([options.seed, SPLITS.index(split), index])
    return render_scene(rng, options.height, options.width, split, options.ground, options.texture)


def annotate(scene_object: SceneObject) -> dict:
    """An object as a COCO annotation without ids.

    A fully visible object without holes is a polygon, any other object compressed RLE. Box (XYWH)
    and area, in px, describe the visible mask.
    """
    rle = coco_mask.encode(np.asfortranarray(scene_object.visible, dtype=np.uint8))
    if scene_object.is_occluded or len(scene_object.polygons) > 1:
        segmentation: dict | list = {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
    else:
        segmentation = [scene_object.polygons[0].ravel().tolist()]
    return {
        "category_id": CLASSES.index(scene_object.category) + 1,
        "segmentation": segmentation,
        "bbox": coco_mask.toBbox(rle).tolist(),
        "area": int(coco_mask.area(rle)),
        "iscrowd": 0,
    }


def label_map(objects: list[SceneObject], height: int, width: int) -> np.ndarray:
    """Semantic labels of a scene: 0 the ground, else 1 + the class: (height, width) uint8."""
    labels = np.zeros((height, width), np.uint8)
    for scene_object in objects:  # their visible parts do not overlap
        labels[scene_object.visible] = 1 + CLASSES.index(scene_object.category)
    return labels


def file_name(index: int) -> str:
    """Name of image `index` (from 0) in the folder of its split."""
    return f"{index + 1:06d}.png"


def _write_image(folder: str, options: Options, split: str, index: int) -> list[dict]:
    """Draws and saves an image and its label map; returns the annotations of the image."""
    image, objects = draw_image(options, split, index)
    labels = label_map(objects, options.height, options.width)
    for kind, pixels in ((split, image), (f"sem_seg_{split}", labels)):
        path = os.path.join(folder, kind, file_name(index))
        Image.fromarray(pixels).save(path, compress_level=3)
    return [annotate(scene_object) for scene_object in objects]


def _write_single(folder: str, options: Options, split: str, index: int) -> None:
    """Draws and saves an image of a single object; consecutive images have consecutive classes."""
    category = CLASSES[index % len(CLASSES)]
    rng = np.random.RandomState([options.seed, SPLITS.index(split), index])
    size = options.height, options.width
    image = render_single(rng, category, *size, split, options.ground, options.texture)
    path = os.path.join(folder, split, category, file_name(index))
    Image.fromarray(image).save(path, compress_level=3)


def _coco(options: Options, split: str, annotations_by_image: list[list[dict]]) -> dict:
    """The content of a split's JSON."""
    images = [
        {"id": i + 1, "file_name": file_name(i), "height": options.height, "width": options.width}
        for i in range(len(annotations_by_image))
    ]
    annotations = [
        {"image_id": i + 1, **annotation}
        for i, of_image in enumerate(annotations_by_image)
        for annotation in of_image
    ]
    return {
        "info": {"description": f"Shapes, {split}", "options": asdict(options)},
        "licenses": [],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
        "images": images,
        "annotations": [{"id": i + 1, **a} for i, a in enumerate(annotations)],
    }


def _write_json(path: str, content: dict) -> None:
    with open(path, "w", encoding="ascii", newline="\n") as file:
        json.dump(content, file)


def _write_scenes(folder: str, options: Options, split: str, draw_all: DrawAll) -> None:
    for kind in (split, f"sem_seg_{split}"):
        os.makedirs(os.path.join(folder, kind))
    annotations = draw_all(functools.partial(_write_image, folder, options, split))
    path = os.path.join(folder, "annotations", f"instances_{split}.json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    _write_json(path, _coco(options, split, annotations))


def _write_singles(folder: str, options: Options, split: str, draw_all: DrawAll) -> None:
    for category in CLASSES:
        os.makedirs(os.path.join(folder, split, category))
    draw_all(functools.partial(_write_single, folder, options, split))


def _write_all(folder: str, options: Options, workers: int, progress: bool) -> None:
    write_split = {"scenes": _write_scenes, "classification": _write_singles}[options.task]
    with process_map(min(workers, max(options.train, options.val))) as map_images:
        for split in SPLITS:
            count = getattr(options, split)

            def draw_all(write: Callable, split: str = split, count: int = count) -> list:
                done = map_images(write, range(count))
                return list(tqdm(done, split, count, unit="img", disable=not progress))

            write_split(folder, options, split, draw_all)
    _write_json(os.path.join(folder, "options.json"), asdict(options))


def _existing_difference(folder: str, options: Options) -> str:
    """How the dataset in `folder` differs from the requested dataset; empty if they are equal.

    Raises:
        InputError: `folder` is no Shapes dataset, so only the user may remove it.
    """
    try:
        with open(os.path.join(folder, "options.json"), encoding="ascii") as file:
            existing = dict(json.load(file))
        existing["version"]
    except (OSError, KeyError, TypeError, ValueError):
        raise InputError(f"{folder} is not a Shapes dataset (no options.json)") from None
    wanted = asdict(options)
    names = [name for name in wanted if existing.get(name) != wanted[name]]
    return ", ".join(f"has {n}={existing.get(n)} instead of {wanted[n]}" for n in names)


def _swap_in(new: str, target: str, attic: str) -> None:
    """Renames `new` to `target`; moves an old `target` to `attic`, and back if that fails."""
    had_one = os.path.lexists(target)
    if had_one:
        os.rename(target, attic)
    try:
        os.rename(new, target)
    except OSError:
        if had_one:
            os.rename(attic, target)
        raise


def make_shapes(
    root: str, options: Options, workers: int = 1, force: bool = False, progress: bool = False
) -> bool:
    """Writes Shapes to the folder of its task in `root`, whole or not at all.

    The dataset is written to a temporary folder in `root`, which is renamed at the end. An
    interruption therefore leaves the old content unchanged.

    Args:
        root: parent folder, created if missing.
        options: options of the dataset.
        workers: number of processes, at least 1; capped at the number of images. It affects only
            the run time.
        force: whether to replace a dataset that has other options.
        progress: whether to show a progress bar on stderr.

    Returns:
        False if the same dataset already existed and nothing was done.

    Raises:
        InvalidOption: ``workers`` or ``root`` is illegal.
        InputError: the folder has a dataset with other options and `force` is False; the folder
            has something else; the folder cannot be written; or a worker was killed.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise InvalidOption("workers", workers, f"at least 1 and at most {MOST_WORKERS}")
    if "\0" in root:
        raise InvalidOption("root", root, "a path without NUL")
    target = os.path.join(root, FOLDERS[options.task])
    if os.path.lexists(target):
        difference = _existing_difference(target, options)
        if not difference:
            return False
        if not force:
            raise InputError(
                f"{target} {difference}; python tools/make_shapes.py --task {options.task} "
                "--force replaces it"
            )
    try:
        os.makedirs(root, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".shapes-", dir=root) as temporary:
            new = os.path.join(temporary, "new")
            _write_all(new, options, workers, progress)
            _swap_in(new, target, os.path.join(temporary, "old"))
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error})") from error
    return True
