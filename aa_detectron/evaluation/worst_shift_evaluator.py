"""Worst-shift AP as a Detectron2 evaluator."""

import functools
import itertools
import logging
import os

from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils import comm
from pycocotools.coco import COCO
from tabulate import tabulate

from aa_detectron.consistency.records import plain
from aa_detectron.consistency.shifts import Box
from aa_detectron.errors import InputError
from aa_detectron.utils.files import name_stem, write_json

from .coco_ap import quiet
from .worst_shift import average_precision, badness, compare_windows, cut_annotation

logger = logging.getLogger(__name__)


class WorstShiftEvaluator(DatasetEvaluator):
    """AP over the window of each image in which a model does worst, beside that of the center.

    Takes any model, fed by
    :func:`aa_detectron.data.windows.build_shifted_window_loader`. The results are
    ``{"worst_shift_bbox": {...}, "worst_shift_segm": {...}}``, the second for models with masks, of
    :func:`~aa_detectron.evaluation.worst_shift.average_precision`; "unshifted_AP" and so on are
    those of the center windows, "images" is their number. Boxes and masks have their own worst
    windows.

    Args:
        name: of a data set with annotations in COCO's format.
        output_dir: where worst_shift_<name>.json goes, with every image's worst windows; None for
            no file.
        distributed: gather the results of all processes.

    Raises (when evaluated):
        InputError: the model has masks, but an object in the data set has none.
    """

    def __init__(self, name: str, *, output_dir: str | None = None, distributed: bool = True):
        self.name = name
        self.output_dir = output_dir
        self.distributed = distributed
        self.json_file = MetadataCatalog.get(name).json_file
        with quiet():
            self.coco = COCO(self.json_file)
        self.reset()

    def reset(self):
        self.records = []
        self._begun = []

    def process(self, inputs: list[dict], outputs: list[dict]):
        """Takes the windows of an image one after another, in any division into batches.

        Masks are kept encoded: those of all windows of an image would take half a gigabyte.
        """
        for item, output in zip(inputs, outputs, strict=True):
            if "instances" not in output:
                continue
            instances = output["instances"].to("cpu")
            found = instances_to_coco_json(instances, item["image_id"])
            self._begun.append((item["window"]["offset"], found, instances.has("pred_masks")))
            if len(self._begun) == item["window"]["count"]:
                size = item["height"], item["width"]
                self.records.append(self._compare(item["image_id"], size, self._begun))
                self._begun = []

    def _compare(self, image_id, size: tuple[int, int], windows: list[tuple]) -> dict:
        """{"image_id", "has_masks", task: {"worst", "shift", "comparisons": (worst, center)}}."""
        offsets, found, masks = zip(*windows, strict=True)
        has_masks = any(masks)
        record = {"image_id": plain(image_id), "has_masks": has_masks}
        truth = self._truth(image_id, offsets, size)
        can_have_masks = has_masks or not any(found)  # some models then leave the masks out
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
        """From the annotations' ids to the model's, which are known once the data are loaded."""
        known = MetadataCatalog.get(self.name).get("thing_dataset_id_to_contiguous_id")
        return known or {category: category for category in self.coco.getCatIds()}

    def _truth(self, image_id, offsets, size: tuple[int, int]) -> list[list[dict]]:
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
        records = self.records
        if self.distributed:
            comm.synchronize()
            records = list(itertools.chain.from_iterable(comm.gather(records, dst=0)))
            if not comm.is_main_process():
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
            table = tabulate([scores.values()], scores.keys(), "pipe", floatfmt=".2f")
            logger.info(f"{task} of {self.name} (percent):\n{table}")
        return results

    def _score(self, records: list[dict], task: str) -> dict:
        worst, center = zip(*(record[task]["comparisons"] for record in records), strict=True)
        categories = sorted(self.categories.values())
        scores = average_precision(worst, categories, task)
        unshifted = average_precision(center, categories, task)
        scores |= {f"unshifted_{name}": score for name, score in unshifted.items()}
        return scores | {"images": len(records)}


def _chosen(records: list[dict], tasks: list[str]) -> dict:
    """What the file says of each image: by task, how far (y, x) its worst window is shifted."""
    images = [{t: r[t]["shift"] for t in tasks} | {"image_id": r["image_id"]} for r in records]
    return {"images": images}
