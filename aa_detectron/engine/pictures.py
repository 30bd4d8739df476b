"""Pictures of pairs that an evaluation has kept."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.evaluation import inference_context
from torch import nn

from aa_detectron.data.image_io import read_image
from aa_detectron.data.shifted_pairs import build_shifted_pair_loader, cut_crop, get_class_names
from aa_detectron.evaluation.consistency import THRESHOLDS, consistent_share, pair_record
from aa_detectron.evaluation.visualize import draw_pair, save_image


def choose_records(records: list[dict], count: int) -> list[dict]:
    """``count`` records, evenly from the least to the most consistent pair with instances."""
    task = "segm" if all("segm" in record for record in records) else "bbox"
    counted = [record for record in records if record[task]["first"]]
    counted.sort(key=lambda r: consistent_share(r[task]["first"], THRESHOLDS["mAISC"]))
    places = np.linspace(0, len(counted) - 1, min(count, len(counted))).round().astype(int)
    return [counted[place] for place in places]


def draw_pairs(
    cfg: CfgNode, model: nn.Module, name: str, records: list[dict], folder: str
) -> list[str]:
    """Runs the model once more on some pairs and draws them, see :func:`draw_pair`.

    Args:
        cfg, model: those that the records come from.
        name: the data set or folder of images.
        records: of the pairs, see :mod:`aa_detectron.evaluation.consistency`.
        folder: for the pictures, "<image id>_<pair>.png".

    Returns:
        the paths.
    """
    paths = []
    for crops, instances in _run(cfg, model, name, records):
        key = crops[0]["image_id"], crops[0]["pair"]["number"]
        # Compared anew: on another device, say, the model may return them in another order.
        record = pair_record(
            *key,
            crops[0]["pair"]["offsets"],
            *instances,
            score_thresh=cfg.TEST.CONSISTENCY.SCORE_THRESH,
            match_class=cfg.TEST.CONSISTENCY.MATCH_CLASS,
        )
        image = read_image({"file_name": crops[0]["file_name"]}, "RGB")
        images = [cut_crop(image, offset, record["size"]) for offset in record["offsets"]]
        picture = draw_pair(images, instances, record, get_class_names(name))
        stem = str(key[0]).replace("/", "_")
        paths.append(os.path.join(folder, f"{stem}_{key[1]}.png"))
        save_image(paths[-1], picture)
    return paths


def _run(cfg, model, name, records) -> Iterator[tuple[list[dict], list]]:
    """For every pair its two crops and the instances found in them."""
    if not records:
        return
    keys = {(r["image_id"], r["pair"]) for r in records}
    with inference_context(model), torch.no_grad():
        for batch in build_shifted_pair_loader(cfg, name, keys):
            outputs = [output["instances"].to("cpu") for output in model(batch)]
            for i in range(0, len(batch), 2):
                yield batch[i : i + 2], outputs[i : i + 2]
