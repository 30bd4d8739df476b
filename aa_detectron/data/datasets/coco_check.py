"""Tells early and in one line what is wrong with a COCO JSON."""

import json

from detectron2.utils.file_io import PathManager

from aa_detectron.errors import InputError

# What detectron2 reads of each record.
REQUIRED = {
    "images": ["id", "file_name", "height", "width"],
    "annotations": ["id", "image_id", "category_id", "bbox"],
    "categories": ["id", "name"],
}


def _problem(content):
    """What keeps the parsed `content` from being COCO annotations, or None."""
    if not isinstance(content, dict):
        return f"found a {type(content).__name__}, expected an object with {', '.join(REQUIRED)}"
    missing = [key for key in REQUIRED if not isinstance(content.get(key), list)]
    if missing:
        found = ", ".join(content) or "nothing"
        return f"found {found}, expected also a list of {' and of '.join(missing)}"
    if not content["categories"]:
        return "found no category in categories, expected at least one"
    for section, keys in REQUIRED.items():
        for i, record in enumerate(content[section]):
            lacking = [key for key in keys if not isinstance(record, dict) or key not in record]
            if lacking:
                return f"found {section}[{i}] without {', '.join(lacking)}, expected {keys}"
    return None


class MissingAnnotations(InputError, FileNotFoundError):
    """There is no such file."""


class InvalidAnnotations(InputError, ValueError):
    """The file does not hold what COCO's format asks for."""


def check_coco_json(json_file, remedy=""):
    """Check that a file holds instance annotations in COCO's format.

    Args:
        json_file (str): the file.
        remedy (str): how to get it, added to the message when it is missing.

    Raises:
        MissingAnnotations: if there is no such file.
        InvalidAnnotations: names the file, what it holds and what is expected.
    """
    try:
        with PathManager.open(json_file, encoding="utf-8") as file:
            content = json.load(file)
    except FileNotFoundError:
        hint = f"; {remedy}" if remedy else ""
        raise MissingAnnotations(f"no annotations at {json_file}{hint}") from None
    except ValueError as error:
        message = f"{json_file}: found no whole JSON ({error}), expected COCO annotations"
        raise InvalidAnnotations(message) from None
    problem = _problem(content)
    if problem:
        raise InvalidAnnotations(f"{json_file}: {problem}")
