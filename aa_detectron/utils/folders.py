"""Search for the images in a folder, without the hidden files of systems and tools."""

import os
from pathlib import Path

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes of files that count as images in the search of a folder."""
_NOT_DATA = ("$RECYCLE.BIN", "@eaDir", "__MACOSX", "__pycache__", "lost+found")
"""Folders of systems and tools whose names do not start with a dot."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or belongs to a system or tool."""
    return name.startswith(".") or name in _NOT_DATA


def is_image(name: str) -> bool:
    """Whether a file of this name counts as an image."""
    return not is_hidden(name) and name.lower().endswith(IMAGE_SUFFIXES)


def list_folder(folder: str) -> tuple[list[str], list[str]]:
    """Sorted names of the visible folders, and of the visible files, in a folder.

    Raises:
        OSError: the folder cannot be read.
    """
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_hidden(entry.name):
                (folders if entry.is_dir() else files).append(entry.name)
    return sorted(folders), sorted(files)


def find_images(folder: str | Path) -> list[Path]:
    """Sorted paths of all images in a folder and its subfolders; links to folders are skipped."""
    found = []
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        found += [Path(path, name) for name in files if is_image(name)]
    return sorted(found)
