"""Reading of record files, with a check of every value that affects a score."""

import json
import math
import os
import reprlib
from collections.abc import Callable
from typing import Any, NamedTuple

from aa_detectron.errors import InputError


class Value(NamedTuple):
    """Rule for a value of a record that is not a container."""

    legal: str
    holds: Callable[[Any], bool]


def _is_natural(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


NATURAL = Value("an integer from 0", _is_natural)
NATURAL_OR_NULL = Value("an integer from 0, or null", lambda v: v is None or _is_natural(v))
OFFSET = Value("a number from 0", lambda v: _is_finite(v) and v >= 0)
POSITIVE = Value("a number above 0", lambda v: _is_finite(v) and v > 0)
FRACTION = Value("a number from 0 to 1", lambda v: _is_finite(v) and 0 <= v <= 1)
SCORE = Value("a number or null", lambda v: v is None or _is_finite(v))  # null is NaN
IMAGE_ID = Value("a number or text", lambda v: isinstance(v, str) or _is_finite(v))

INSTANCE = {"index": NATURAL, "category": NATURAL, "score": SCORE, "area": POSITIVE}
PREDICTED_CLASS = {"label": NATURAL, "score": SCORE}
RECORD = {
    "image_id": IMAGE_ID,
    "pair": NATURAL,
    "offsets": ((OFFSET, OFFSET), (OFFSET, OFFSET)),
    "size": (NATURAL, NATURAL),
}
NUMBER = Value("a finite number", _is_finite)
BOOL = Value("true or false", lambda v: type(v) is bool)
MATCHED = INSTANCE | {"match": NATURAL_OR_NULL, "iou": FRACTION}
INSTANCES = {"first": [MATCHED], "second": [INSTANCE]}
SECTIONS = {
    "segm": INSTANCES,
    "bbox": INSTANCES,
    "sem_seg": {"pixels": NATURAL, "equal": NATURAL, "per_class": {}},
    "classification": {
        "first": PREDICTED_CLASS,
        "second": PREDICTED_CLASS,
        "category": NATURAL_OR_NULL,
    },
}
"""Schema of a record, see :mod:`~aa_detectron.consistency.records`.

A dict has at least the keys of its schema. A list has any number of members of one kind. A tuple
has one member of each kind.
"""
BOX = {"box": (NUMBER, NUMBER, POSITIVE, POSITIVE)}
OBJECTS = [{"category": NATURAL, "found": (BOOL, BOOL)}]
OPTIONAL = {
    "segm": {"objects": OBJECTS},
    "bbox": {"objects": OBJECTS, "first": [BOX], "second": [BOX]},
    "sem_seg": {"boundary": (NATURAL, NATURAL), "every_shift": [NATURAL]},
    "classification": {"every_shift": [NATURAL]},
}
"""Optional keys of each section; :data:`SECTIONS` has the required keys, checked before."""


def read_report(path: str | os.PathLike) -> dict:
    """Reads a file that an evaluator of consistency has written.

    Returns:
        {"pairs": records, ...}

    Raises:
        InputError: the file cannot be read, or a record lacks a value that its section needs.
    """
    try:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        if not isinstance(report, dict):
            raise ValueError(f"{reprlib.repr(report)} is no object")
        if not isinstance(report.get("pairs"), list):
            raise ValueError(f"pairs is {reprlib.repr(report.get('pairs'))}, but must be a list")
        for number, record in enumerate(report["pairs"]):
            check_record(record, f"pairs[{number}]")
    except (OSError, RecursionError, ValueError) as error:
        raise InputError(f"{path}: holds no consistency records ({error})") from None
    return report


def check_record(record: Any, place: str = "record") -> None:
    """Raises ValueError for a record that does not match its schema.

    Args:
        record: record of a pair.
        place: location of the record, for the message.
    """
    check_value(record, RECORD, place)
    for name, schema in SECTIONS.items():
        if name in record:
            check_value(record[name], schema, f"{place}.{name}")
            _check_optional(record[name], OPTIONAL[name], f"{place}.{name}")
    for task in record.keys() & {"segm", "bbox"}:
        _check_matches(record[task], f"{place}.{task}")
    for name in record.keys() & {"sem_seg", "classification"}:
        _check_counts(record[name], f"{place}.{name}")


def check_value(value: Any, schema: Any, place: str) -> None:
    """Raises ValueError for a value that does not match a schema such as :data:`RECORD`."""
    if isinstance(schema, Value):
        _require(schema.holds(value), value, schema.legal, place)
    elif isinstance(schema, dict):
        _require(isinstance(value, dict), value, "an object", place)
        for key, inner in schema.items():
            _require(key in value, value, f"an object with {key!r}", place)
            check_value(value[key], inner, f"{place}.{key}")
    else:
        _require(isinstance(value, list), value, "a list", place)
        inner = schema * len(value) if isinstance(schema, list) else schema
        _require(len(value) == len(inner), value, f"a list of {len(inner)}", place)
        for number, (item, kind) in enumerate(zip(value, inner, strict=True)):
            check_value(item, kind, f"{place}[{number}]")


def _check_optional(value: Any, schema: Any, place: str) -> None:
    """Checks the keys of a schema that the value has."""
    if isinstance(schema, list) and isinstance(schema[0], dict) and isinstance(value, list):
        for number, item in enumerate(value):
            _check_optional(item, schema[0], f"{place}[{number}]")
    elif isinstance(schema, dict):
        for key in schema.keys() & value.keys():
            deeper = _check_optional if schema[key] == [BOX] else check_value
            deeper(value[key], schema[key], f"{place}.{key}")


def _check_matches(section: dict, place: str) -> None:
    number = len(section["second"])
    for index, instance in enumerate(section["first"]):
        match = instance["match"]
        known = match is None or match < number
        _require(known, match, f"below {number}", f"{place}.first[{index}].match")


def _check_counts(section: dict, place: str) -> None:
    """Checks that no part is larger than its whole."""
    if "pixels" in section:
        _check_parts([section["pixels"], section["equal"]], f"{place}.equal", in_list=False)
    for label, counts in section.get("per_class", {}).items():
        check_value(counts, (NATURAL, NATURAL), f"{place}.per_class.{label}")
        _check_parts(counts, f"{place}.per_class.{label}")
    if "boundary" in section:
        _check_parts(section["boundary"], f"{place}.boundary")
    if "every_shift" in section:
        counts = section["every_shift"]
        legal = "a list of 2 or 3: the whole, the same, the correct"
        _require(len(counts) in (2, 3), counts, legal, f"{place}.every_shift")
        _check_parts(counts, f"{place}.every_shift")


def _check_parts(counts: list[int], place: str, *, in_list: bool = True) -> None:
    whole, *parts = counts
    for number, part in enumerate(parts, 1):
        name = f"{place}[{number}]" if in_list else place
        _require(part <= whole, part, f"at most {whole}, the pixels", name)


def _require(holds: bool, found: Any, legal: str, place: str) -> None:
    if not holds:
        raise ValueError(f"{place} is {reprlib.repr(found)}, but must be {legal}")
