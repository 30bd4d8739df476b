"""Pictures of pairs that an evaluation has kept."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data.detection_utils import convert_image_to_rgb
from detectron2.evaluation import inference_context
from torch import nn

from aa_detectron.consistency.records import main_fraction
from aa_detectron.data.images import read_image
from aa_detectron.data.pairs import build_shifted_pair_loader, cut_crop, get_metadata
from aa_detectron.evaluation.build import build_consistency_evaluators
from aa_detectron.experiments.figures.drawing import (
    draw_class_pair,
    draw_label_pair,
    draw_pair,
    save_image,
)


def choose_records(records: list[dict], count: int) -> list[dict]:
    """``count`` records, evenly from the least to the most consistent pair that counts."""
    counted = [record for record in records if main_fraction(record) is not None]
    counted.sort(key=main_fraction)
    places = np.linspace(0, len(counted) - 1, min(count, len(counted))).round().astype(int)
    return [counted[place] for place in places]


def draw_pairs(
    cfg: CfgNode, model: nn.Module, name: str, records: list[dict], folder: str
) -> list[str]:
    """Runs the model once more on some pairs and draws them.

    Args:
        cfg, model: those that the records come from.
        name: the data set or folder of images.
        records: of the pairs, see :mod:`aa_detectron.consistency.records`.
        folder: for the pictures, "<image id>_<pair>.png".

    Returns:
        the paths.
    """
    paths = []
    for crops, outputs in _run(cfg, model, name, records):
        paths.append(os.path.join(folder, _file_name(crops[0])))
        save_image(paths[-1], _draw(cfg, name, crops, outputs, _kind(records[0])))
    return paths


def _kind(record: dict) -> str:
    return next((k for k in ("sem_seg", "classification") if k in record), "instances")


def _draw(cfg: CfgNode, name: str, crops: list[dict], outputs: list[dict], kind: str):
    # Compared anew: on another device, say, the model may return instances in another order.
    evaluator = next(e for e in build_consistency_evaluators(cfg, name) if e.kind == kind)
    record = evaluator.compare(crops[0], *outputs)
    if kind == "classification":
        images = [crop["image"].permute(1, 2, 0).numpy() for crop in crops]
        images = [np.asarray(convert_image_to_rgb(i, cfg.INPUT.FORMAT), np.uint8) for i in images]
        return draw_class_pair(images, record, get_metadata(name, "classes"))
    image = read_image({"file_name": crops[0]["file_name"]}, "RGB")
    images = [cut_crop(image, offset, record["size"]) for offset in record["offsets"]]
    if kind == "sem_seg":
        maps = [output["sem_seg"].argmax(dim=0).cpu().numpy() for output in outputs]
        return draw_label_pair(images, maps, record, get_metadata(name, "stuff_colors"))
    instances = [output["instances"].to("cpu") for output in outputs]
    return draw_pair(images, instances, record, get_metadata(name, "thing_classes"))


def _file_name(crop: dict) -> str:
    stem = str(crop["image_id"]).replace("/", "_")
    return f"{stem}_{crop['pair']['number']}.png"


def _run(cfg, model, name, records) -> Iterator[tuple[list[dict], list[dict]]]:
    """For every pair its two crops and the model's outputs for them."""
    if not records:
        return
    keys = {(r["image_id"], r["pair"]) for r in records}
    with inference_context(model), torch.no_grad():
        for batch in build_shifted_pair_loader(cfg, name, keys):
            outputs = model(batch)
            for i in range(0, len(batch), 2):
                yield batch[i : i + 2], outputs[i : i + 2]
