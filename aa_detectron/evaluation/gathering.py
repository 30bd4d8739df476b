"""Records and scores that the evaluators have in common across processes and in the log."""

import itertools
import logging

from detectron2.utils import comm
from tabulate import tabulate


def gather_records(records: list[dict], distributed: bool = True) -> list[dict] | None:
    """The records of all processes.

    Args:
        records: records of this process.
        distributed: whether to gather the records of all processes; False returns ``records``.

    Returns:
        None in every process except the main process.
    """
    if not distributed:
        return records
    comm.synchronize()
    gathered = comm.gather(records, dst=0)
    return list(itertools.chain.from_iterable(gathered)) if comm.is_main_process() else None


def log_scores(logger: logging.Logger, title: str, scores: dict) -> None:
    """Logs {name: number} as a table below a title."""
    table = tabulate([scores.values()], list(scores), "pipe", floatfmt=".2f")
    logger.info(f"{title}:\n{table}")
