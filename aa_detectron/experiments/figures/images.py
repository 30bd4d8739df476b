"""The images of figures: files and scikit-image's photographs, as pixels and as a model's input."""

import importlib.resources
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import detection_utils as utils

from aa_detectron.data.mappers import build_mapper
from aa_detectron.errors import InputError

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")
"""Photographs in scikit-image's wheel, in the public domain or under CC0."""


def find_images(arguments: Iterable[str]) -> dict[str, str]:
    """The paths of image files by their names without folder and suffix.

    Args:
        arguments: paths of files, or names from :data:`PHOTOGRAPHS`.

    Raises:
        InputError: a path is no file, or two files have the same name.
    """
    files: dict[str, str] = {}
    for argument in arguments:
        path = argument
        if argument in PHOTOGRAPHS and not os.path.exists(argument):
            path = _photograph(argument)
        if not os.path.isfile(path):
            names = ", ".join(PHOTOGRAPHS)
            raise InputError(f"{argument}: is neither a file nor a photograph ({names})")
        stem = Path(path).stem
        if stem in files:
            raise InputError(
                f"{argument}: its figures would have the names of the figures of {files[stem]}"
            )
        files[stem] = path
    return files


def _photograph(name: str) -> str:
    return str(importlib.resources.files("skimage").joinpath("data", f"{name}.png"))


def model_input(cfg: CfgNode, path: str) -> dict:
    """A model's input for an image file, as in testing.

    Raises:
        InputError: the file cannot be read as an image.
    """
    return build_mapper(cfg, is_train=False)({"file_name": path})


def input_as_rgb(cfg: CfgNode, item: dict) -> np.ndarray:
    """The image in a model's input as (h, w, 3) uint8 RGB."""
    return to_rgb(item["image"].permute(1, 2, 0).numpy(), cfg.INPUT.FORMAT)


def to_rgb(image: np.ndarray, image_format: str) -> np.ndarray:
    """Converts an (H, W, C) image in ``INPUT.FORMAT`` to (H, W, 3) uint8 RGB."""
    return np.asarray(utils.convert_image_to_rgb(image, image_format), np.uint8)
