"""Data sets for classification that are a folder of class folders: root/<class>/<image>."""

import functools
import os

from detectron2.data import MetadataCatalog

from aa_detectron.data.folders import IMAGE_SUFFIXES, is_image, list_folder
from aa_detectron.errors import InputError

from .register import register


def load_class_folders(root: str, classes: list[str] | None = None, remedy: str = "") -> list[dict]:
    """Data set dicts of the images that lie directly in the class folders of ``root``.

    Images are told by their suffix; none is opened. Hidden files and folders are passed over.

    Args:
        root: the folder.
        classes: names of the class folders, in the order of the categories; None takes those that
            are there, sorted.
        remedy: how to get the layout, for the message when there are no class folders.

    Returns:
        {"file_name", "image_id": the path from ``root`` with forward slashes, "category_id": index
        into ``classes``}, sorted by category and name.

    Raises:
        InputError: no such folder, one without class folders, with one that is none of
            ``classes``, or without an image of a class.
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
        InputError: no such folder, or one without class folders.
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


def get_classes(name: str) -> list[str]:
    """Names of the classes of a registered data set, read from its folder where they are not given.

    Raises:
        InputError: as :func:`find_classes`.
    """
    metadata = MetadataCatalog.get(name)
    return metadata.get("classes") or find_classes(metadata.image_root)


def register_class_folders(
    name: str, root: str, classes: list[str] | None = None, remedy: str = ""
) -> None:
    """Register a folder of class folders, which is not read before loading.

    Args:
        name: of the data set; one that is registered under it is replaced.
        root: as in :func:`load_class_folders`.
        classes: as there. Give those of the training, in its order, for a test of the same
            network.
        remedy: as there.
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
