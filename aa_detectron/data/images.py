"""Reading images with errors that name the file."""

import numpy as np
from detectron2.data import detection_utils as utils
from PIL import ExifTags, Image

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
    except (OSError, SyntaxError) as error:
        raise unreadable(file_name, "an image", error) from None
    return image


def image_size(file_name: str) -> tuple[int, int]:
    """(height, width) in which :func:`read_image` returns an image, from the file's header.

    Raises:
        InputError: a file that is missing or no image.
    """
    try:
        with Image.open(file_name) as image:
            height, width = image.height, image.width
            # Pillow decodes a whole PNG to look for EXIF behind the pixels.
            if image.format != "PNG" or "exif" in image.info:
                turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
                height, width = (width, height) if turned else (height, width)
            return height, width
    except (OSError, SyntaxError) as error:
        raise unreadable(file_name, "an image", error) from None


def unreadable(file_name: str, kind: str, error: Exception) -> InputError:
    """The error for a file that Pillow cannot read; it raises SyntaxError for a broken PNG."""
    reason = str(error).replace(f": '{file_name}'", "")
    return InputError(f"{file_name}: cannot be read as {kind} ({reason})")
