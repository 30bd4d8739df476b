"""Writes checkpoints whole or not at all."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from aa_detectron.utils.files import replacing


@contextlib.contextmanager
def replacing_checkpoint(path: str | Path) -> Iterator[Path]:
    """Like :func:`~aa_detectron.utils.files.replacing`, for files that ``torch.save`` writes.

    Args:
        path: path of the checkpoint.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        try:
            yield temporary
        except RuntimeError as error:  # raised by torch if the disk is full
            raise OSError(str(error).splitlines()[0]) from error
