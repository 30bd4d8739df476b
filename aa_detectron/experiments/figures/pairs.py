"""Pictures of the pairs of an evaluation, from the least to the most consistent pair."""

import os
from collections.abc import Iterator
from os import PathLike

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.evaluation import inference_context
from torch import nn

from aa_detectron.consistency.records import main_fraction
from aa_detectron.data.images import read_image
from aa_detectron.data.pairs import (
    build_shifted_pair_loader,
    cut_crop,
    get_image_dicts,
    get_metadata,
)
from aa_detectron.errors import InputError
from aa_detectron.evaluation.build import build_consistency_evaluators
from aa_detectron.evaluation.inputs import read_output
from aa_detectron.evaluation.pair_evaluator import PairEvaluator
from aa_detectron.utils.files import name_stem

from .images import to_rgb
from .pair_pictures import LEGENDS, draw_class_pair, draw_label_pair, draw_pair
from .panels import add_key, save_image


def choose_records(records: list[dict], count: int) -> list[dict]:
    """Chooses records evenly from the least to the most consistent pair.

    Args:
        records: records of pairs; pairs that do not count are never chosen.
        count: number of records wanted.

    Returns:
        ``count`` records, or all that count if they are fewer.

    Raises:
        InputError: a record has neither instances, label maps nor classes.
    """
    fractions = [(main_fraction(record), record) for record in records]
    counted = [(fraction, record) for fraction, record in fractions if fraction is not None]
    counted.sort(key=lambda pair: pair[0])
    places = np.linspace(0, len(counted) - 1, min(count, len(counted))).round().astype(int)
    return [counted[place][1] for place in places]


def check_pairs(cfg: CfgNode, name: str, records: list[dict]) -> None:
    """Checks that the pairs of records can be cut again.

    Args:
        cfg: config of the evaluation that the records come from.
        name: dataset, or folder of images, of the records.
        records: records of pairs.

    Raises:
        InputError: the image or the number of a pair does not exist.
    """
    count = cfg.TEST.CONSISTENCY.PAIRS_PER_IMAGE
    known = {image["image_id"] for image in get_image_dicts(name)}
    for record in records:
        if record["image_id"] not in known:
            raise InputError(f"{name}: has no image {record['image_id']!r}")
        if record["pair"] >= count:
            found = f"pair {record['pair']}, but TEST.CONSISTENCY.PAIRS_PER_IMAGE is {count}"
            raise InputError(f"image {record['image_id']!r}: has a record of {found}")


def draw_pairs(
    cfg: CfgNode, model: nn.Module, name: str, records: list[dict], folder: str | PathLike
) -> list[str]:
    """Runs the model again on some pairs and writes a picture of each, with a legend.

    Args:
        cfg: config of the evaluation that the records come from.
        model: model of that evaluation.
        name: dataset, or folder of images, of the records.
        records: records of the pairs, see :mod:`aa_detectron.consistency.records`.
        folder: folder of the pictures, "<image id>_<pair>.png"; see
            :func:`~aa_detectron.utils.files.name_stem` for ids that are no file names.

    Returns:
        the paths of the pictures.

    Raises:
        InputError: a pair is not in the dataset, the model does not predict what the records are
            about, or the folder cannot be written.
    """
    if not records:
        return []
    check_pairs(cfg, name, records)
    evaluator = _find_evaluator(cfg, name, records[0])
    paths = []
    for crops, outputs in _run(cfg, model, name, records):
        picture = _draw(cfg, evaluator, crops, outputs)
        paths.append(os.path.join(folder, _file_name(crops[0])))
        save_image(paths[-1], add_key(picture, LEGENDS[evaluator.kind]))
    return paths


def _find_evaluator(cfg: CfgNode, name: str, record: dict) -> PairEvaluator:
    kind = next((k for k in ("sem_seg", "classification") if k in record), "instances")
    for evaluator in build_consistency_evaluators(cfg, name):
        if evaluator.kind == kind:
            return evaluator
    raise _other_records(name, kind)


def _other_records(name: str, kind: str) -> InputError:
    return InputError(f"{name}: the records are of {kind}, which this model does not predict")


def _draw(
    cfg: CfgNode, evaluator: PairEvaluator, crops: list[dict], outputs: list[dict]
) -> np.ndarray:
    name, kind = evaluator.name, evaluator.kind
    # Compared again: on another device the model may return its instances in another order.
    record = evaluator.compare(crops[0], *outputs)
    if record is None:
        raise _other_records(name, kind)
    if kind == "classification":
        images = [crop["image"].permute(1, 2, 0).numpy() for crop in crops]
        images = [to_rgb(image, cfg.INPUT.FORMAT) for image in images]
        return draw_class_pair(images, record, get_metadata(name, "classes"))
    image = read_image({"file_name": crops[0]["file_name"]}, "RGB")
    images = [cut_crop(image, offset, record["size"]) for offset in record["offsets"]]
    if kind == "sem_seg":
        pairs = zip(crops, outputs, strict=True)
        maps = [read_output(crop, output, kind)[kind] for crop, output in pairs]
        return draw_label_pair(images, maps, record, get_metadata(name, "stuff_colors"))
    instances = [output["instances"].to("cpu") for output in outputs]
    return draw_pair(images, instances, record, get_metadata(name, "thing_classes"))


def _file_name(crop: dict) -> str:
    return f"{name_stem(str(crop['image_id']))}_{crop['pair']['number']}.png"


def _run(
    cfg: CfgNode, model: nn.Module, name: str, records: list[dict]
) -> Iterator[tuple[list[dict], list[dict]]]:
    """The two crops of every pair, and the model's outputs for them."""
    keys = {(record["image_id"], record["pair"]) for record in records}
    with inference_context(model), torch.no_grad():
        for batch in build_shifted_pair_loader(cfg, name, keys):
            outputs = model(batch)
            for i in range(0, len(batch), 2):
                yield batch[i : i + 2], outputs[i : i + 2]
