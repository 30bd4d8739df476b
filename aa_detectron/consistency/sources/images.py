"""Images from arrays, files, folders, COCO files and videos, read on demand."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from aa_detectron.errors import InputError, check_from_1
from aa_detectron.utils.folders import IMAGE_SUFFIXES, find_images
from aa_detectron.utils.pillow import PILLOW_ERRORS, to_8_bits, unreadable

from ..adapters.values import describe
from .coco import read_coco

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


class ImageItem(NamedTuple):
    """An image that is read on demand."""

    image_id: Any
    """Image id, a number or string; the offsets of the crops depend on it."""
    read: Callable[[], np.ndarray]
    """Function that returns the image, (H, W, 3) uint8 RGB."""
    truth: dict | None = None
    """Ground truth in pixels of the image: "boxes" (N, 4) x0, y0, x1, y1, "classes" (N,) and
    optional "masks" (N, H, W) bool or N COCO RLEs; "sem_seg" (H, W) integers and optional
    "ignore_label", the label of pixels that do not count; "class" integer. None if no ground truth
    is known."""


def open_images(
    images: Any,
    folder: str | os.PathLike | None = None,
    *,
    truth: bool = False,
    category_ids: list[int] | None = None,
    every: int = 1,
) -> Iterable[ImageItem]:
    """Opens any source of images.

    Args:
        images: folder, which is searched with its subfolders; COCO JSON; video; or iterable of
            arrays (H, W, 3) uint8 RGB, of paths and of :class:`ImageItem`.
        folder: folder of the images of a COCO JSON; None for the folder of the JSON.
        truth: whether the objects of a COCO JSON are read. Crowds are left out.
        category_ids: category id of each class of the model in a COCO JSON; None if the model
            returns category ids.
        every: step between the frames that are read from a video.

    Returns:
        items. Their ids are relative paths with forward slashes for a folder, image ids for a COCO
        JSON, frame numbers for a video, and paths or positions from 0 for an iterable.

    Raises:
        InputError: a source without images, or an option without effect on it.
    """
    is_path = isinstance(images, str | os.PathLike)
    name = images if is_path else f"images of type {type(images).__name__}"
    suffix = Path(images).suffix.lower() if is_path else ""
    is_coco, is_video = suffix == ".json", suffix in VIDEO_SUFFIXES
    if not is_coco and (truth or folder is not None or category_ids is not None):
        raise InputError(f"{name}: folder, truth and category_ids are for a COCO JSON only")
    if not is_video and every != 1:
        raise InputError(f"{name}: every is for a video only")
    if not is_path:
        items = map(_item, itertools.count(), images)
        return list(items) if isinstance(images, Sequence) else items
    path = Path(images)
    if path.is_dir():
        return _folder_items(path)
    if is_coco:
        if category_ids is not None and not truth:
            raise InputError(f"{name}: category_ids has no effect without truth")
        return [
            ImageItem(image_id, partial(read_image, file, size), objects)
            for image_id, file, size, objects in read_coco(path, folder, truth, category_ids)
        ]
    if is_video:
        return _video_items(path, every)
    raise InputError(
        f"{path}: is {'another file' if path.exists() else 'missing'}, but must be a folder of "
        f"images, a COCO JSON or a video ({', '.join(VIDEO_SUFFIXES)})"
    )


def read_image(file_name: str | os.PathLike, size: tuple[int, int] | None = None) -> np.ndarray:
    """Reads an image as (H, W, 3) uint8 RGB, upright by its EXIF tag, without alpha channel.

    Args:
        file_name: file that Pillow can read. 16-bit gray images are reduced to their upper 8 bits.
        size: required size (height, width) in pixels; None for any size.

    Raises:
        InputError: a file that is missing, truncated or not an image, has another size, or has
            values that do not fit 8 bits.
    """
    name = os.fspath(file_name)
    try:
        with Image.open(name) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)  # first, since to_8_bits drops EXIF
            pixels = np.array(to_8_bits(image, name).convert("RGB"))
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
    """Returns the image unchanged if it is legal.

    Raises:
        InputError: anything except an array (H, W, 3) uint8.
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
    """Yields the frames in turn, with only the current frame in memory."""
    check_from_1("every", every)
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
