"""Check of a whole COCO file before training or testing."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from detectron2.utils.file_io import PathManager

from aa_detectron.errors import InputError
from aa_detectron.utils.coco_records import annotation_problem, id_problem, image_problem, short

from .coco_cache import identify, recall, remember

REQUIRED = {
    "images": ["id", "file_name", "height", "width"],
    "annotations": ["id", "image_id", "category_id", "bbox"],
    "categories": ["id", "name"],
}
"""Keys that Detectron2 reads in the records of each section."""
VERSION = 1
"""Version of the facts in the cache; raise it with every change of the checks."""


@dataclass
class CocoFacts:
    """The content of a COCO file, and the problems that rule out some uses of it.

    A problem's text names a record and what is wrong with it; None where there is no problem.
    """

    classes: list[str] = field(default_factory=list)
    """Names of the categories in the order of their ids, as Detectron2 numbers them."""
    objects: int = 0
    """Number of annotations that are no crowds."""
    file_names: list[str] = field(default_factory=list)
    """File names of the images."""
    problem: str | None = None
    """Problem for every use."""
    no_annotations: str | None = None
    """Problem for every use except of images alone."""
    untestable: str | None = None
    """Problem for testing: COCO's evaluation reads "area" and "iscrowd"."""
    no_mask: str | None = None
    """Problem for training with masks."""
    no_crowd_mask: str | None = None
    """Problem for testing with masks."""
    first_rle: str | None = None
    """Problem for training with masks as polygons: an object with a mask in RLE."""


def check_coco(json_file: str, remedy: str = "", *, needs_annotations: bool = True) -> CocoFacts:
    """Checks that a whole file holds instance annotations in COCO's format.

    The result for a large file is kept in :func:`.coco_cache.cache_folder`.

    Args:
        json_file: path of the file.
        remedy: how to get the file, for the message when it is missing.
        needs_annotations: False where images alone suffice, as in COCO's test-dev.

    Raises:
        InputError: the file is missing or no JSON, or a record cannot be used. The message names
            the file and the record, what was found and what is legal.
    """
    facts = read_facts(json_file, remedy)
    problem = facts.problem or (facts.no_annotations if needs_annotations else None)
    if problem:
        raise InputError(f"{json_file}: {problem}")
    return facts


def read_facts(json_file: str, remedy: str = "") -> CocoFacts:
    """The facts of a file, from the cache or by reading it.

    Args:
        json_file: path of the file.
        remedy: how to get the file, for the message when it is missing.

    Raises:
        InputError: the file is missing or no JSON.
    """
    try:
        path = PathManager.get_local_path(json_file)
        identity = identify(path)
        found = recall(path, VERSION)
        if found and found.keys() == {f.name for f in fields(CocoFacts)}:
            return CocoFacts(**found)
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except FileNotFoundError:
        hint = f"; {remedy}" if remedy else ""
        raise InputError(f"no annotations at {json_file}{hint}") from None
    except OSError as error:
        raise InputError(f"{json_file}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        message = f"{json_file}: found no whole JSON ({error}), expected COCO annotations"
        raise InputError(message) from None
    facts = find_facts(content, has_unique_annotations="minival" not in json_file)
    remember(path, VERSION, asdict(facts), identity)
    return facts


def find_facts(content: Any, *, has_unique_annotations: bool = True) -> CocoFacts:
    """The facts of a parsed COCO file.

    Args:
        content: parsed JSON.
        has_unique_annotations: False for COCO's minival files, in which ids of annotations repeat;
            Detectron2 accepts this.
    """
    facts = CocoFacts()
    facts.problem = _layout_problem(content)
    if facts.problem:
        return facts
    if "annotations" not in content:
        found = ", ".join(map(str, content))
        facts.no_annotations = f"found {found}, expected also a list of annotations"
    images, annotations = content["images"], content.get("annotations", [])
    categories = content["categories"]
    facts.problem = (
        _first("images", images, image_problem)
        or _first("categories", categories, _category_problem)
        or _ids_problem("images", images)
        or _ids_problem("categories", categories)
    )
    if facts.problem:
        return facts
    facts.classes = [c["name"] for c in sorted(categories, key=lambda c: c["id"])]
    facts.file_names = [image["file_name"] for image in images]
    check = _annotation_check(images, categories)
    facts.problem = _first("annotations", annotations, check) or (
        _repeated("annotations", annotations) if has_unique_annotations else None
    )
    if not facts.problem:
        _find_uses(facts, annotations)
    return facts


def _layout_problem(content: Any) -> str | None:
    if not isinstance(content, dict):
        return f"found a {type(content).__name__}, expected an object with {', '.join(REQUIRED)}"
    missing = [key for key in REQUIRED if not isinstance(content.get(key), list)]
    if missing and not (missing == ["annotations"] and "annotations" not in content):
        found = ", ".join(map(str, content)) or "nothing"
        return f"found {found}, expected also a list of {' and of '.join(missing)}"
    for section, noun in (("categories", "category"), ("images", "image")):
        if not content[section]:
            return f"found no {noun} in {section}, expected at least one"
    for section, keys in REQUIRED.items():
        for number, record in enumerate(content.get(section, [])):
            if not isinstance(record, dict) or not record.keys() >= set(keys):
                lacking = [k for k in keys if not isinstance(record, dict) or k not in record]
                return f"found {section}[{number}] without {', '.join(lacking)}, expected {keys}"
    return None


def _first(section: str, records: list[dict], check: Callable) -> str | None:
    """The first problem that ``check`` finds in the records, with the record's name."""
    for number, record in enumerate(records):
        problem = check(record)
        if problem:
            return f"{_name(section, number, record)}: {problem}"
    return None


def _name(section: str, number: int, record: dict) -> str:
    return f"{section}[{number}] (id {short(record['id'])})"


def _category_problem(category: dict) -> str | None:
    if type(category["name"]) is not str:
        return f"name is {short(category['name'])}, but must be a text"
    return id_problem(category["id"])


def _ids_problem(section: str, records: list[dict]) -> str | None:
    """Checks that ids are unique and can be sorted, as Detectron2 sorts them."""
    is_text = type(records[0]["id"]) is str
    for number, record in enumerate(records):
        if (type(record["id"]) is str) != is_text:
            legal = f"{'a text' if is_text else 'a number'}, as the id of {section}[0]"
            return f"{section}[{number}]: id is {short(record['id'])}, but must be {legal}"
    return _repeated(section, records)


def _repeated(section: str, records: list[dict]) -> str | None:
    ids = [record["id"] for record in records]
    if len(set(ids)) == len(ids):
        return None
    seen: dict[int | float | str, int] = {}
    for number, value in enumerate(ids):
        if value in seen:
            first = f"{section}[{seen[value]}] has it already"
            return f"{section}[{number}]: id is {short(value)}, but must be unique: {first}"
        seen[value] = number
    return None


def _annotation_check(images: list[dict], categories: list[dict]) -> Callable:
    """A check of annotations in a file with these images and categories."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in images}
    names = {category["id"] for category in categories}

    def check(annotation: dict) -> str | None:
        for key in ("id", "image_id", "category_id"):
            problem = id_problem(annotation[key], key)
            if problem:
                return problem
        size = sizes.get(annotation["image_id"])
        if size is None:
            return f"image_id is {short(annotation['image_id'])}, but must be an id in images"
        if annotation["category_id"] not in names:
            found = short(annotation["category_id"])
            return f"category_id is {found}, but must be an id in categories"
        return annotation_problem(annotation, size)

    return check


def _find_uses(facts: CocoFacts, annotations: list[dict]) -> None:
    """Sets the facts about the uses of the annotations."""
    for number, annotation in enumerate(annotations):
        name = _name("annotations", number, annotation)
        is_crowd, mask = annotation.get("iscrowd", 0), annotation.get("segmentation")
        facts.objects += not is_crowd
        lacking = [key for key in ("area", "iscrowd") if key not in annotation]
        if lacking and not facts.untestable:
            facts.untestable = f"{name}: has no {lacking[0]}, which COCO's evaluation reads"
        if not mask:
            text = f"{name}: has no segmentation, but MODEL.MASK_ON needs one for each object"
            facts.no_crowd_mask = facts.no_crowd_mask or text
            if not is_crowd:
                facts.no_mask = facts.no_mask or text
        elif isinstance(mask, dict) and not is_crowd and not facts.first_rle:
            facts.first_rle = f"{name}: segmentation is a mask in RLE"
