"""Worst-shift AP as an evaluator for Detectron2."""

import functools
import itertools
import logging
import os
from collections.abc import Sequence
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from pycocotools.coco import COCO

from aa_detectron.consistency.records import plain
from aa_detectron.consistency.shifts import Box, Offset
from aa_detectron.errors import InputError
from aa_detectron.utils.files import name_stem, write_json

from .coco_ap import quiet
from .gathering import gather_records, log_scores
from .inputs import check_inputs, read_output
from .worst_shift import average_precision, badness, compare_windows, cut_annotation

logger = logging.getLogger(__name__)

LOADER = "aa_detectron.data.windows.build_shifted_window_loader(cfg, name)"


class WorstShiftEvaluator(DatasetEvaluator):
    """AP over the worst window of each image, and AP over the center windows.

    Evaluates any model on :func:`aa_detectron.data.windows.build_shifted_window_loader`. The
    results are ``{"worst_shift_bbox": {...}, "worst_shift_segm": {...}}``; only models with masks
    have the second. Each has the scores of
    :func:`~aa_detectron.evaluation.worst_shift.average_precision` over the worst windows, the same
    scores of the center windows as "unshifted_AP" and so on, and the number of "images". Boxes and
    masks have their own worst windows.

    Args:
        name: name of a dataset with annotations in COCO's format.
        output_dir: folder of worst_shift_<name>.json, with every image's worst windows; None for
            no file.
        distributed: whether to gather the results of all processes.

    Raises:
        InputError: the dataset has no file of annotations. When evaluated: the model has masks, but
            an object in the dataset has none.
    """

    def __init__(self, name: str, *, output_dir: str | None = None, distributed: bool = True):
        self.name = name
        self.output_dir = output_dir
        self.distributed = distributed
        self.json_file = MetadataCatalog.get(name).get("json_file")
        if self.json_file is None:
            raise InputError(f"{name}: has no json_file, annotations in COCO's format")
        with quiet():
            self.coco = COCO(self.json_file)
        self.reset()

    def reset(self) -> None:
        self.records: list[dict] = []
        self._begun: list[tuple[Offset, list[dict], bool]] = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Evaluates the windows of an image one after another, with any batch size.

        Masks are kept encoded: decoded masks of all windows of an image would take half a gigabyte.

        Raises:
            InputError: the inputs are no windows, but come from another loader; or instances cannot
                be used, such as NaN and rotated boxes.
        """
        check_inputs(self, inputs, "window", LOADER)
        for item, output in zip(inputs, outputs, strict=True):
            if "instances" not in output:
                continue
            instances = output["instances"].to("cpu")
            read_output(item, {"instances": instances}, "instances")
            found = instances_to_coco_json(instances, item["image_id"])
            self._begun.append((item["window"]["offset"], found, instances.has("pred_masks")))
            if len(self._begun) == item["window"]["count"]:
                size = item["height"], item["width"]
                self.records.append(self._compare(item["image_id"], size, self._begun))
                self._begun = []

    def _compare(
        self,
        image_id: int | str,
        size: tuple[int, int],
        windows: list[tuple[Offset, list[dict], bool]],
    ) -> dict:
        """{"image_id", "has_masks", task: {"worst", "shift", "comparisons": (worst, center)}}."""
        offsets, found, masks = zip(*windows, strict=True)
        has_masks = any(masks)
        record: dict[str, Any] = {"image_id": plain(image_id), "has_masks": has_masks}
        truth = self._truth(image_id, offsets, size)
        can_have_masks = has_masks or not any(
            found
        )  # without detections, some models have no masks
        can_have_masks &= all(a.get("segmentation") for window in truth for a in window)
        for task in ("bbox", "segm") if can_have_masks else ("bbox",):
            compared = compare_windows(truth, found, task, size)
            keys = [badness(window, task) for window in compared]
            worst = min(range(1, len(keys)), key=keys.__getitem__)
            shift = [a - b for a, b in zip(offsets[worst], offsets[0], strict=True)]
            chosen = compared[worst], compared[0]
            record[task] = {"worst": worst, "shift": shift, "comparisons": chosen}
        return record

    @functools.cached_property
    def categories(self) -> dict[int, int]:
        """{category id of an annotation: the model's}; known once the dataset is loaded."""
        known = MetadataCatalog.get(self.name).get("thing_dataset_id_to_contiguous_id")
        return known or {category: category for category in self.coco.getCatIds()}

    def _truth(
        self, image_id: int | str, offsets: Sequence[Offset], size: tuple[int, int]
    ) -> list[list[dict]]:
        """The annotations in each window, with the model's categories."""
        height, width = size
        annotations = self.coco.loadAnns(self.coco.getAnnIds(imgIds=[image_id]))
        objects = [
            (
                annotation | {"category_id": self.categories[annotation["category_id"]]},
                self.coco.annToMask(annotation) if annotation.get("segmentation") else None,
            )
            for annotation in annotations
        ]
        windows = [Box(y, x, y + height, x + width) for y, x in offsets]
        cut = [[cut_annotation(*both, window) for both in objects] for window in windows]
        return [[annotation for annotation in window if annotation] for window in cut]

    def evaluate(self) -> dict | None:
        records = gather_records(self.records, self.distributed)
        if records is None:
            return None
        if not records:
            return {}
        records.sort(key=lambda record: str(record["image_id"]))
        tasks = ["bbox"] + ["segm"] * any(record["has_masks"] for record in records)
        for record, task in itertools.product(records, tasks):
            if task not in record:
                image_id = record["image_id"]
                raise InputError(f"{self.json_file}: an object in image {image_id} has no mask")
        results = {f"worst_shift_{task}": self._score(records, task) for task in tasks}
        if self.output_dir:
            path = os.path.join(self.output_dir, f"worst_shift_{name_stem(self.name)}.json")
            write_json(path, {"name": self.name, "results": results, **_chosen(records, tasks)})
        for task, scores in results.items():
            log_scores(logger, f"{task} of {self.name} (percent)", scores)
        return results

    def _score(self, records: list[dict], task: str) -> dict:
        worst, center = zip(*(record[task]["comparisons"] for record in records), strict=True)
        categories = sorted(self.categories.values())
        scores = average_precision(worst, categories, task)
        unshifted = average_precision(center, categories, task)
        scores |= {f"unshifted_{name}": score for name, score in unshifted.items()}
        return scores | {"images": len(records)}


def _chosen(records: list[dict], tasks: list[str]) -> dict:
    """Entries of the file for each image: {task: shift (y, x) of the worst window}."""
    images = [{t: r[t]["shift"] for t in tasks} | {"image_id": r["image_id"]} for r in records]
    return {"images": images}
