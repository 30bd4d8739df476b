"""Reading images with errors that name the file."""

import numpy as np
from detectron2.data import detection_utils as utils
from PIL import Image, ImageOps

from aa_detectron.errors import InputError

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Of the files that count as images where a folder is searched for them."""


def read_image(dataset_dict: dict, image_format: str) -> np.ndarray:
    """The image of a dataset dict as (H, W, C) uint8, in ``INPUT.FORMAT``.

    Raises:
        InputError: a file that is missing, truncated or no image, or of another size than the dict
            says.
    """
    file_name = dataset_dict["file_name"]
    try:
        image = utils.read_image(file_name, format=image_format)
        utils.check_image_size(dict(dataset_dict), image)
    except utils.SizeMismatchError:
        said = f"{dataset_dict.get('height')}x{dataset_dict.get('width')}"
        found = "x".join(map(str, image.shape[:2]))
        raise InputError(f"{file_name}: is of {found} pixels, the data set says {said}") from None
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG
        reason = str(error).replace(f": '{file_name}'", "")
        raise InputError(f"{file_name}: cannot be read as an image ({reason})") from None
    return image


def image_size(file_name: str) -> tuple[int, int]:
    """(height, width) in which :func:`read_image` returns an image; decodes it only if turned.

    Raises:
        InputError: a file that is missing or no image.
    """
    try:
        with Image.open(file_name) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return image.height, image.width
    except OSError as error:
        raise InputError(f"{file_name}: cannot be read as an image ({error})") from None
