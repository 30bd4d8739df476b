"""Ground truth in COCO's format, as COCO's evaluation can read it."""

import contextlib
import io
import os
from collections.abc import Sequence

from detectron2.data import MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_dict
from detectron2.evaluation import COCOEvaluator
from pycocotools.coco import COCO

from aa_detectron.data.datasets.dicts_check import plain_id
from aa_detectron.utils.files import write_json


def number_annotations(coco: COCO) -> None:
    """Numbers the annotations from 1 where their ids would mislead COCO's evaluation.

    COCOeval keeps the id of the object that a detection matches as a float, 0 for none. An object
    of id 0 then counts as not found, and an id that is a text cannot be kept.
    """
    annotations = coco.dataset.get("annotations", [])
    if all(type(a["id"]) is int and a["id"] > 0 for a in annotations):
        return
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()


def build_coco_evaluator(
    name: str, folder: str, kpt_oks_sigmas: Sequence[float] = ()
) -> COCOEvaluator:
    """Detectron2's evaluator of a data set.

    Dicts of users' own loaders are written to ``folder`` in COCO's format, each time anew: they may
    have changed since a file there was written, which Detectron2 would take.
    """
    metadata = MetadataCatalog.get(name)
    is_converted = metadata.get("json_file") is None
    if is_converted:
        metadata.json_file = os.path.join(folder, f"{name.replace(os.sep, '_')}_coco_format.json")
    try:
        if is_converted:
            _write_coco(name, metadata.json_file)
        evaluator = COCOEvaluator(name, output_dir=folder, kpt_oks_sigmas=kpt_oks_sigmas)
    finally:
        if is_converted:
            del metadata.json_file
    number_annotations(evaluator._coco_api)
    return evaluator


def _write_coco(name: str, path: str) -> None:
    """Writes dataset dicts as a COCO file, with NumPy's ids as Python's."""
    content = convert_to_coco_dict(name)
    for image in content["images"]:
        image["id"] = plain_id(image["id"])
    for annotation in content.get("annotations", []):
        annotation["image_id"] = plain_id(annotation["image_id"])
        annotation["category_id"] = plain_id(annotation["category_id"])
    write_json(path, content)
