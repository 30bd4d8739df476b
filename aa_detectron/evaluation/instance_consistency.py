"""mAISC as a Detectron2 evaluator."""

import itertools
import logging
import os
import re

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from tabulate import tabulate

from aa_detectron.utils.files import write_json

from .consistency import pair_record, score_pairs


class InstanceConsistencyEvaluator(DatasetEvaluator):
    """Consistency of instances between the crops of shifted pairs.

    Takes any model whose outputs have "instances", fed by
    :func:`aa_detectron.data.shifted_pairs.build_shifted_pair_loader`. The results are
    ``{"consistency_segm": {...}, "consistency_bbox": {...}}``, see
    :func:`~aa_detectron.evaluation.consistency.score_pairs`; the first is missing for a model
    without masks.

    Args:
        name: of the data set or folder; for the name of the file and the log.
        class_names: for scores per class.
        score_thresh: instances with a lower score do not count.
        match_class: only instances of the same class can match.
        output_dir: where consistency_<name>.json with the record of every pair goes; None for no
            file.
        distributed: gather the records of all processes.
    """

    def __init__(
        self,
        name: str,
        class_names: list[str] | None = None,
        *,
        score_thresh: float = 0.5,
        match_class: bool = True,
        output_dir: str | None = None,
        distributed: bool = True,
    ):
        self.name = name
        self.class_names = class_names
        self.score_thresh = score_thresh
        self.match_class = match_class
        self.output_dir = output_dir
        self.distributed = distributed
        self.reset()

    def reset(self):
        self.records = []

    def process(self, inputs: list[dict], outputs: list[dict]):
        """Takes the crops of whole pairs, first, second, first, second, ..."""
        crops = list(zip(inputs, outputs, strict=True))
        for (item, first), (other, second) in zip(crops[::2], crops[1::2], strict=True):
            pair = item["pair"]
            assert pair["first"] and not other["pair"]["first"], "crops out of order"
            record = pair_record(
                item["image_id"],
                pair["number"],
                pair["offsets"],
                first["instances"],
                second["instances"],
                score_thresh=self.score_thresh,
                match_class=self.match_class,
            )
            self.records.append(record)

    def evaluate(self) -> dict | None:
        records = self.records
        if self.distributed:
            comm.synchronize()
            records = list(itertools.chain.from_iterable(comm.gather(records, dst=0)))
            if not comm.is_main_process():
                return None
        records.sort(key=lambda r: (str(r["image_id"]), r["pair"]))
        tasks = [t for t in ("bbox", "segm") if any(t in r for r in records)]
        for record, task in itertools.product(records, tasks):
            record.setdefault(task, {"first": [], "second": []})  # no instance, hence no masks
        results = {f"consistency_{t}": score_pairs(records, t, self.class_names) for t in tasks}
        if self.output_dir:
            path = os.path.join(self.output_dir, f"consistency_{self._file_name()}.json")
            write_json(path, self._report(results, records))
        self._log(results)
        return results

    def _file_name(self) -> str:
        return re.sub(r"[^\w.-]+", "_", self.name.strip("./"))

    def _report(self, results: dict, records: list[dict]) -> dict:
        return {
            "name": self.name,
            "score_thresh": self.score_thresh,
            "match_class": self.match_class,
            "class_names": self.class_names,
            "results": results,
            "pairs": records,
        }

    def _log(self, results: dict):
        logger = logging.getLogger(__name__)
        for task, scores in results.items():
            shown = {k: v for k, v in scores.items() if "-" not in k}
            table = tabulate([shown.values()], shown.keys(), "pipe", floatfmt=".2f")
            logger.info(f"{task} of {self.name} (percent; low, high: 95 % interval):\n{table}")
