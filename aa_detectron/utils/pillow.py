"""Errors of Pillow, and conversion of 16-bit images, for every reader of images."""

import struct

import numpy as np
from PIL import Image

from aa_detectron.errors import InputError

PILLOW_ERRORS = (
    *(Image.DecompressionBombError, OSError, SyntaxError, ValueError, struct.error),
    *(EOFError, IndexError, KeyError, OverflowError, TypeError),
)
"""Errors that Pillow raises for files that are missing, broken, malicious or no image."""
WIDE_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes for 16-bit gray images."""


def unreadable(file_name: str, kind: str, error: Exception) -> InputError:
    """Builds the error for a file that Pillow cannot read."""
    reason = str(error).replace(f": '{file_name}'", "") or type(error).__name__
    return InputError(f"{file_name}: cannot be read as {kind} ({reason})")


def to_8_bits(image: Image.Image, file_name: str) -> Image.Image:
    """Converts a 16-bit image to mode "L"; any other image is unchanged.

    Pillow's own conversion clips values above 255, so they become white.

    Raises:
        InputError: the values have 32 bits, so their range is not known.
    """
    # Pillow's PNG and PPM plugins read 16 bits as mode "I" in some versions.
    if image.mode in WIDE_MODES or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        kind = "integers of 32 bits" if image.mode == "I" else "floats"
        raise InputError(f"{file_name}: holds {kind}, but must hold values of 8 or 16 bits")
    return image
