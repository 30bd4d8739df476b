"""Ground truth in COCO's format that COCO's evaluation can read."""

import os
from collections.abc import Sequence

from detectron2.data import MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_dict
from detectron2.evaluation import COCOEvaluator
from pycocotools.coco import COCO

from aa_detectron.consistency.records import plain
from aa_detectron.utils.files import name_stem, write_json

from .coco_ap import quiet


def number_annotations(coco: COCO) -> None:
    """Numbers the annotations from 1 if their ids would mislead COCO's evaluation.

    COCOeval stores the id of the object that a detection matches as a float, and 0 for no match. An
    object with id 0 would then count as not found, and an id that is a text cannot be stored.
    """
    annotations = coco.dataset.get("annotations", [])
    if all(type(a["id"]) is int and a["id"] > 0 for a in annotations):
        return
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    with quiet():
        coco.createIndex()


def build_coco_evaluator(
    name: str, folder: str, kpt_oks_sigmas: Sequence[float] = ()
) -> COCOEvaluator:
    """Detectron2's evaluator for a dataset.

    The dicts of a user's own loader are written to ``folder`` in COCO's format on every call.
    Detectron2 would reuse an existing file, but the dicts may have changed since.

    Args:
        name: name of the dataset.
        folder: output folder of the evaluator.
        kpt_oks_sigmas: value of ``TEST.KEYPOINT_OKS_SIGMAS``.
    """
    metadata = MetadataCatalog.get(name)
    is_converted = metadata.get("json_file") is None
    if is_converted:
        metadata.json_file = os.path.join(folder, f"{name_stem(name)}_coco_format.json")
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
    """Writes dataset dicts as a COCO file, with NumPy's numbers in ids as Python's."""
    content = convert_to_coco_dict(name)
    for image in content["images"]:
        image["id"] = plain(image["id"])
    for annotation in content.get("annotations", []):
        annotation["image_id"] = plain(annotation["image_id"])
        annotation["category_id"] = plain(annotation["category_id"])
    write_json(path, content)
