"""Label maps of semantic segmentation in Detectron2's format, with errors that name the file."""

import os

import numpy as np
import torch
from PIL import Image

from aa_detectron.errors import InputError
from aa_detectron.utils.files import replacing
from aa_detectron.utils.pillow import PILLOW_ERRORS, unreadable


def read_label_map(file_name: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Labels of an image: (H, W) uint8, contiguous ids and the ignore label.

    Args:
        file_name: path of a single-channel 8-bit image.
        size: (height, width) of the image that the labels belong to; None for any size.

    Raises:
        InputError: the file is missing or broken, or has another mode or size.
    """
    try:
        with Image.open(file_name) as image:
            _check_header(image, file_name, size)
            return np.array(image)
    except PILLOW_ERRORS as error:
        raise unreadable(file_name, "a label map", error) from None


def check_label_file(file_name: str, size: tuple[int, int] | None = None) -> None:
    """Raises the errors of :func:`read_label_map` that the file's header reveals."""
    try:
        with Image.open(file_name) as image:
            _check_header(image, file_name, size)
    except PILLOW_ERRORS as error:
        raise unreadable(file_name, "a label map", error) from None


def check_labels(
    labels: np.ndarray | torch.Tensor, num_classes: int, ignore_label: int, file_name: str
) -> None:
    """Raises InputError for a label that is neither below ``num_classes`` nor ``ignore_label``."""
    found = np.unique(np.asarray(labels))
    illegal = found[((found < 0) | (found >= num_classes)) & (found != ignore_label)]
    if len(illegal):
        legal = f"0 to {num_classes - 1} and {ignore_label}"
        raise InputError(f"{file_name}: has label {illegal[0]}, but labels must be {legal}")


def write_label_map(path: str | os.PathLike, labels: np.ndarray) -> None:
    """Writes (H, W) uint8 labels as a PNG, whole or not at all."""
    with replacing(path) as temporary:
        Image.fromarray(labels).save(temporary, format="PNG")


def _check_header(image: Image.Image, file_name: str, size: tuple[int, int] | None) -> None:
    if image.mode != "L":
        hint = ""
        if image.mode == "P":  # Detectron2 would take the brightness of the colors for labels
            hint = "; tools/prepare_sem_seg.py converts palette images"
        raise InputError(f"{file_name}: is of mode {image.mode!r}, but must be 'L'{hint}")
    if size is not None and (image.height, image.width) != tuple(size):
        found, said = f"{image.height}x{image.width}", f"{size[0]}x{size[1]}"
        raise InputError(f"{file_name}: is of {found} pixels, its image of {said}")
