"""Reading images with errors that name the file."""

import numpy as np
from detectron2.data import detection_utils as utils
from detectron2.utils.file_io import PathManager
from PIL import ExifTags, Image

from aa_detectron.errors import InputError
from aa_detectron.utils.pillow import PILLOW_ERRORS, to_8_bits, unreadable


def read_image(dataset_dict: dict, image_format: str) -> np.ndarray:
    """The image of a dataset dict as (H, W, C) uint8, in ``INPUT.FORMAT``.

    The image is turned upright according to its EXIF tag. A 16-bit gray image keeps its upper
    8 bits, as Pillow does for 16-bit colors. The alpha channel is dropped.

    Args:
        dataset_dict: dict with "file_name" and optionally "height" and "width".
        image_format: value of ``INPUT.FORMAT``; "YUV-BT.601" gives floats.

    Raises:
        InputError: the file is missing, truncated or no image; its values are 32-bit integers or
            floats; or its size differs from the dict's.
    """
    file_name = dataset_dict["file_name"]
    image = utils.convert_PIL_to_numpy(_open_image(file_name), image_format)
    try:
        utils.check_image_size(dict(dataset_dict), image)
    except utils.SizeMismatchError:
        said = f"{dataset_dict.get('height')}x{dataset_dict.get('width')}"
        found = "x".join(map(str, image.shape[:2]))
        raise InputError(f"{file_name}: is of {found} pixels, the dataset says {said}") from None
    return image


def image_size(file_name: str) -> tuple[int, int]:
    """(height, width) of the image that :func:`read_image` returns, from the file's header.

    Raises:
        InputError: the file is missing or no image.
    """
    try:
        with Image.open(file_name) as image:
            height, width = image.height, image.width
            # Pillow decodes a whole PNG to look for EXIF behind the pixels.
            if image.format != "PNG" or "exif" in image.info:
                turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
                height, width = (width, height) if turned else (height, width)
            return height, width
    except PILLOW_ERRORS as error:
        raise unreadable(file_name, "an image", error) from None


def _open_image(file_name: str) -> Image.Image:
    """The whole upright image, in an 8-bit mode.

    Raises:
        InputError: as :func:`read_image`.
    """
    try:
        with PathManager.open(file_name, "rb") as file:
            image = utils._apply_exif_orientation(Image.open(file))
            image.load()
    except PILLOW_ERRORS as error:
        raise unreadable(file_name, "an image", error) from None
    return to_8_bits(image, file_name)
