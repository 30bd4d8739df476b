"""What the evaluators of consistency share: pairs in, records gathered, scores and a file out."""

import itertools
import logging
import os
import re

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from tabulate import tabulate

from aa_detectron.utils.files import write_json


class PairEvaluator(DatasetEvaluator):
    """Base of the evaluators of shifted pairs.

    They take any model, fed by
    :func:`aa_detectron.data.pairs.build_shifted_pair_loader`. Outputs that lack what is
    to be compared are passed over: without any other, there are no results.

    Args:
        name: of the data set or folder; for the name of the file and the log.
        class_names: for scores per class.
        output_dir: where consistency_<kind>_<name>.json with the record of every pair goes; None
            for no file.
        distributed: gather the records of all processes.
    """

    kind: str
    """What is compared; for the name of the file."""

    def __init__(
        self,
        name: str,
        class_names: list[str] | None = None,
        *,
        output_dir: str | None = None,
        distributed: bool = True,
    ):
        self.name = name
        self.class_names = class_names
        self.output_dir = output_dir
        self.distributed = distributed
        self.reset()

    def compare(self, item: dict, first: dict, second: dict) -> dict | None:
        """The record of a pair, see :mod:`~aa_detectron.consistency.records`.

        Args:
            item: the first crop's input.
            first, second: the outputs for the two crops.

        Returns:
            None where they lack what is to be compared.
        """
        raise NotImplementedError

    def score(self, records: list[dict]) -> dict:
        """{task: {metric: number}} from the records of all pairs, one or more."""
        raise NotImplementedError

    def settings(self) -> dict:
        """What else determines the records; for the file."""
        return {}

    def reset(self):
        self.records = []

    def process(self, inputs: list[dict], outputs: list[dict]):
        """Takes the crops of whole pairs, first, second, first, second, ..."""
        crops = list(zip(inputs, outputs, strict=True))
        for (item, first), (other, second) in zip(crops[::2], crops[1::2], strict=True):
            assert item["pair"]["first"] and not other["pair"]["first"], "crops out of order"
            record = self.compare(item, first, second)
            if record is not None:
                self.records.append(record)

    def evaluate(self) -> dict | None:
        records = self.records
        if self.distributed:
            comm.synchronize()
            records = list(itertools.chain.from_iterable(comm.gather(records, dst=0)))
            if not comm.is_main_process():
                return None
        if not records:
            return {}
        records.sort(key=lambda r: (str(r["image_id"]), r["pair"]))
        results = self.score(records)
        if self.output_dir:
            report = {
                "name": self.name,
                **self.settings(),
                "class_names": self.class_names,
                "results": results,
                "pairs": records,
            }
            self.write(records_path(self.output_dir, self.kind, self.name), report)
        self._log(results)
        return results

    def write(self, path: str, report: dict) -> None:
        """Writes what has been found as JSON."""
        write_json(path, report)

    def _log(self, results: dict):
        logger = logging.getLogger(__name__)
        for task, scores in results.items():
            shown = {k: v for k, v in scores.items() if "-" not in k}
            table = tabulate([shown.values()], shown.keys(), "pipe", floatfmt=".2f")
            logger.info(f"{task} of {self.name} (percent; low, high: 95 % interval):\n{table}")


def records_path(folder: str, kind: str, name: str) -> str:
    """Where an evaluator keeps its records of a data set or folder of images."""
    stem = re.sub(r"[^\w.-]+", "_", name.strip("./"))
    return os.path.join(folder, f"consistency_{kind}_{stem}.json")
