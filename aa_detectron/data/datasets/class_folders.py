"""Classification datasets in class folders: root/<class>/<image>."""

import functools
import os

from aa_detectron.errors import InputError
from aa_detectron.utils.folders import IMAGE_SUFFIXES, is_image, list_folder

from .register import register


def load_class_folders(root: str, classes: list[str] | None = None, remedy: str = "") -> list[dict]:
    """Dataset dicts of the images directly in the class folders of ``root``.

    Images are recognized by their suffix; none is opened. Hidden files and folders are ignored.

    Args:
        root: parent of the class folders.
        classes: names of the class folders, in the order of the categories; None for the sorted
            names of the folders in ``root``.
        remedy: how to get the layout, for the message when there are no class folders.

    Returns:
        {"file_name", "image_id": path relative to ``root`` with forward slashes, "category_id":
        index into ``classes``} for each image, sorted by category and name.

    Raises:
        InputError: ``root`` cannot be read or has no class folders; a class folder is missing,
            has no image, or is not in ``classes``.
    """
    found = find_classes(root, remedy)
    classes = found if classes is None else classes
    unknown = sorted(set(found).difference(classes))
    if unknown:
        expected = f"expected only folders of the {len(classes)} classes: {_some(classes)}"
        raise InputError(f"{root}: found {_some(unknown)}, {expected}")
    missing = [name for name in classes if name not in set(found)]
    if missing:
        counts = f"{len(missing)} of {len(classes)} class folders are missing"
        raise InputError(f"{root}: {counts}: {_some(missing)}")
    return [
        {
            "file_name": os.path.join(root, name, image),
            "image_id": f"{name}/{image}",
            "category_id": category,
        }
        for category, name in enumerate(classes)
        for image in _find_images(os.path.join(root, name))
    ]


def find_classes(root: str, remedy: str = "") -> list[str]:
    """Sorted names of the class folders in ``root``.

    Raises:
        InputError: ``root`` cannot be read, or has no class folders.
    """
    layout = f"expected class folders: {os.path.join(root, '<class>', '<image>')}"
    expected = f"{layout}; {remedy}" if remedy else layout
    try:
        folders, files = list_folder(root)
    except OSError as error:
        raise InputError(f"{root}: cannot be read ({error.strerror}); {expected}") from None
    if not folders:
        images = sum(map(is_image, files))
        found = f"{images} images directly in it" if images else "no folder in it"
        raise InputError(f"{root}: found {found}, {expected}")
    return folders


def register_class_folders(
    name: str, root: str, classes: list[str] | None = None, remedy: str = ""
) -> None:
    """Registers a folder of class folders, which is not read before loading.

    Args:
        name: name of the dataset; an earlier dataset of this name is replaced.
        root: parent of the class folders.
        classes: names of the class folders, see :func:`load_class_folders`. For testing a network,
            give the classes of its training in the same order.
        remedy: how to get the layout, for the message when there are no class folders.
    """
    metadata = {} if classes is None else {"classes": list(classes)}
    register(
        name,
        functools.partial(load_class_folders, root, classes, remedy),
        image_root=root,
        evaluator_type="classification",
        **metadata,
    )


def _find_images(folder: str) -> list[str]:
    try:
        images = [name for name in list_folder(folder)[1] if is_image(name)]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    if not images:
        raise InputError(f"{folder}: no images in this class folder ({', '.join(IMAGE_SUFFIXES)})")
    return images


def _some(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:3]))
    return f"{shown}, ..." if len(names) > 3 else shown
