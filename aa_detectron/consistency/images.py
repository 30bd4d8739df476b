"""Images from arrays, files, folders, COCO files and videos, read when they are needed."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.utils.folders import IMAGE_SUFFIXES, find_images
from aa_detectron.utils.pillow import PILLOW_ERRORS, to_8_bits, unreadable

from .coco_images import read_coco
from .values import describe

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


class ImageItem(NamedTuple):
    """An image that is read when it is needed."""

    image_id: Any
    """Number or string. The offsets of the crops depend on it."""
    read: Callable[[], np.ndarray]
    """Returns the image, (H, W, 3) uint8 RGB."""
    truth: dict | None = None
    """Ground truth, in pixels of the image: "boxes" (N, 4) x0, y0, x1, y1, "classes" (N,) and
    perhaps "masks" (N, H, W) bool or N COCO RLEs; "sem_seg" (H, W) integers; "class" integer. None
    where nothing is known."""


def open_images(
    images: Any,
    folder: str | os.PathLike | None = None,
    *,
    truth: bool = False,
    category_ids: list[int] | None = None,
    every: int = 1,
) -> Iterable[ImageItem]:
    """Items of anything that holds images.

    Args:
        images: a folder, which is searched with its subfolders; a COCO JSON; a video; or an
            iterable of arrays (H, W, 3) uint8 RGB, of paths and of :class:`ImageItem`.
        folder: of the images of a COCO JSON; None for the folder of the JSON.
        truth: read the objects of a COCO JSON. Crowds are left out.
        category_ids: category id in a COCO JSON of each of the model's classes; None where the
            model returns category ids.
        every: of a video, every n-th frame.

    Returns:
        items whose ids are: of a folder, the path below it with forward slashes; of a COCO JSON,
        its image ids; of a video, the numbers of the frames; else the path, or the place from 0.

    Raises:
        InputError: nothing that holds images.
    """
    if not isinstance(images, str | os.PathLike):
        items = map(_item, itertools.count(), images)
        return list(items) if isinstance(images, Sequence) else items
    path = Path(images)
    if path.is_dir():
        return _folder_items(path)
    if path.suffix.lower() == ".json":
        return [
            ImageItem(image_id, partial(read_image, file, size), objects)
            for image_id, file, size, objects in read_coco(path, folder, truth, category_ids)
        ]
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _video_items(path, every)
    raise InputError(
        f"{path}: is {'another file' if path.exists() else 'missing'}, but must be a folder of "
        f"images, a COCO JSON or a video ({', '.join(VIDEO_SUFFIXES)})"
    )


def read_image(file_name: str | os.PathLike, size: tuple[int, int] | None = None) -> np.ndarray:
    """An image as (H, W, 3) uint8 RGB, upright as its EXIF tag says, without its alpha channel.

    Args:
        file_name: a file that Pillow reads. Of grey images of 16 bits the upper 8 bits are taken.
        size: (height, width) that it must have; None for any.

    Raises:
        InputError: a file that is missing, truncated or no image, of values that do not fit 8 bits
            or of another size.
    """
    name = os.fspath(file_name)
    try:
        with Image.open(name) as image:
            image.load()
            pixels = np.array(ImageOps.exif_transpose(to_8_bits(image, name)).convert("RGB"))
    except PILLOW_ERRORS as error:
        raise unreadable(name, "an image", error) from None
    if size is not None and pixels.shape[:2] != tuple(size):
        found, said = ("x".join(map(str, pair)) for pair in (pixels.shape[:2], size))
        raise InputError(f"{name}: is of {found} pixels, the COCO JSON says {said}")
    return pixels


def _item(number: int, image: Any) -> ImageItem:
    if isinstance(image, ImageItem):
        return image
    if isinstance(image, str | os.PathLike):
        return ImageItem(Path(image).as_posix(), partial(read_image, image))
    return ImageItem(number, lambda: image)


def check_image(image: Any, image_id: Any) -> np.ndarray:
    """The image.

    Raises:
        InputError: anything but (H, W, 3) uint8.
    """
    is_array = isinstance(image, np.ndarray) and image.dtype == np.uint8
    if not is_array or image.ndim != 3 or image.shape[2] != 3:
        found = f"image {image_id} is {describe(image)}"
        raise InputError(f"{found}, but must be an array of shape (H, W, 3) and uint8, in RGB")
    return image


def _folder_items(folder: Path) -> list[ImageItem]:
    files = find_images(folder)
    if not files:
        raise InputError(f"{folder}: no images there ({', '.join(IMAGE_SUFFIXES)})")
    return [ImageItem(f.relative_to(folder).as_posix(), partial(read_image, f)) for f in files]


def _video_items(path: Path, every: int) -> Iterator[ImageItem]:
    """The frames are read in turn, so only the current one is in memory."""
    if every < 1:
        raise InvalidOption("every", every, "an integer from 1")
    try:
        import cv2
    except ImportError:
        hint = "reading videos needs OpenCV (pip install opencv-python-headless)"
        raise InputError(f"{path}: {hint}") from None
    return _frames(cv2.VideoCapture(os.fspath(path)), path, every)


def _frames(video: Any, path: Path, every: int) -> Iterator[ImageItem]:
    number = 0
    try:
        while video.grab():
            if number % every == 0:
                decoded, frame = video.retrieve()
                if not decoded:
                    raise InputError(f"{path}: frame {number} cannot be decoded")
                image = np.ascontiguousarray(frame[:, :, ::-1])
                yield ImageItem(number, partial(np.asarray, image))
            number += 1
    finally:
        video.release()
    if not number:
        raise InputError(f"{path}: cannot be read as a video")
