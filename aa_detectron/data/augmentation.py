"""Detectron2's augmentations, with an error that names the file."""

from detectron2.data import transforms as T

from aa_detectron.errors import InputError

THIN = 16
"""Ratio of an image's sides from which on the resize may leave no pixel."""


def augment(augmentations: T.Augmentation, given: T.AugInput, file_name: str) -> T.Transform:
    """Applies augmentations to an image, and to its label map, in place.

    Raises:
        InputError: the image is so thin that the resize would leave no pixel.
    """
    height, width = given.image.shape[:2]
    try:
        return augmentations(given)
    except (ValueError, RuntimeError) as error:
        if max(height, width) < THIN * min(height, width):
            raise
        message = f"{height}x{width} pixels are too thin to be resized as INPUT asks ({error})"
        raise InputError(f"{file_name}: {message}") from None
