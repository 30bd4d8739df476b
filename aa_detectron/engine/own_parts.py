"""Data and models of the user's own, in the commands that read a config.

``--import`` names code that registers datasets, filters or models. ``--coco`` registers a dataset.
"""

import argparse
import os
import traceback

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from aa_detectron.errors import InputError
from aa_detectron.utils.user_code import import_code

_IS_TAKEN = ("already registered", "cannot be set to a different value")
"""What Detectron2's catalogs and registries say about a name that is registered twice."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds ``--import`` and ``--coco`` to a command."""
    group = parser.add_argument_group("own data and models")
    group.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE_OR_FILE",
        help="module or .py file that registers datasets, filters or models; may be repeated",
    )
    group.add_argument(
        "--coco",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "JSON", "FOLDER"),
        help="dataset to register: name, COCO annotations, folder of the images; may be repeated",
    )


def as_arguments(args: argparse.Namespace) -> list[str]:
    """The words of a command line that :func:`add_arguments` parses to the same values."""
    datasets = [word for dataset in args.coco for word in ("--coco", *dataset)]
    return [*(f"--import={name}" for name in args.imports), *datasets]


def register(args: argparse.Namespace) -> None:
    """Imports and registers what the arguments name; every process of a command needs this.

    A second call changes nothing. A COCO file is not read before the dataset is used, and is then
    checked like the built-in datasets.

    Args:
        args: arguments; without those of :func:`add_arguments`, there is nothing to register.

    Raises:
        InputError: a module, file or folder does not exist, or a name is registered twice.
        Exception: an error of the imported code, unchanged.
    """
    for name in getattr(args, "imports", ()):
        _import(name)
    for dataset in getattr(args, "coco", ()):
        _register_coco(*dataset)


def _import(name: str) -> None:
    try:
        import_code(name, f"--import {name}")
    except AssertionError as error:
        message = " ".join(str(error).split())
        if not any(words in message for words in _IS_TAKEN):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        top_level = [frame for frame in frames if frame.name == "<module>"][-1]
        where = f"{os.path.relpath(top_level.filename)}, line {top_level.lineno}"
        raise InputError(f"--import {name}: {where}: {message}") from error


def _register_coco(name: str, json_file: str, folder: str) -> None:
    if name in DatasetCatalog:
        metadata = MetadataCatalog.get(name)
        if (metadata.get("json_file"), metadata.get("image_root")) == (json_file, folder):
            return
        raise InputError(f"--coco {name}: a dataset of this name is already registered")
    for kind, path, exists in (
        ("file", json_file, os.path.isfile),
        ("folder", folder, os.path.isdir),
    ):
        if "://" not in path and not exists(path):
            raise InputError(f"--coco {name}: {path} is no {kind}")
    register_coco_instances(name, {}, json_file, folder)
