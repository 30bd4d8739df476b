"""All scores of records by section, and the table of the scores."""

import itertools

from .class_names import ClassNames
from .classes import score_class_pairs
from .instances import score_pairs
from .intervals import score_fractions
from .jitter import score_jitter
from .label_maps import score_label_pairs
from .records import MAIN_METRICS, METRICS

TASKS = ("bbox", "segm")
LABELS = {
    "drift": "box drift, mean (px)",
    "drift95": "box drift, 95th (px)",
    "width_ratio": "box width (|log ratio|)",
    "height_ratio": "box height (|log ratio|)",
}
"""Labels of the jitter scores that are not percentages."""


def fill_tasks(records: list[dict]) -> list[str]:
    """Returns the instance tasks in the records, and adds missing sections to records of instances.

    A model may leave out the masks if it finds nothing.
    """
    tasks = [task for task in TASKS if any(task in record for record in records)]
    of_instances = [record for record in records if any(task in record for task in tasks)]
    for record, task in itertools.product(of_instances, tasks):
        record.setdefault(task, {"first": [], "second": []})
    return tasks


def score_records(
    records: list[dict], class_names: ClassNames | None = None
) -> dict[str, dict[str, float]]:
    """Computes {"consistency_<section>": {metric: number}} for every section of the records.

    A section is scored over the records that have it.

    Args:
        records: records of pairs, see :mod:`~aa_detectron.consistency.records`.
        class_names: names of the classes, for scores per class; see
            :func:`~aa_detectron.consistency.class_names.list_names`.
    """
    tasks = fill_tasks(records)
    found = {section: [r for r in records if section in r] for section in MAIN_METRICS}
    scores = {task: score_pairs(found[task], task, class_names) for task in tasks}
    if found["sem_seg"]:
        scores["sem_seg"] = score_label_pairs(found["sem_seg"], class_names)
    if found["classification"]:
        scores["classification"] = score_class_pairs(found["classification"])
    return {f"consistency_{section}": numbers for section, numbers in scores.items()}


def format_metrics(records: list[dict]) -> str:
    """A table of every metric of :data:`~aa_detectron.consistency.records.METRICS` that counts."""
    lines = [f"{'metric':<28}{'percent':>9}{'low':>9}{'high':>9}{'pairs':>8}"]
    for name, (section, fraction) in METRICS.items():
        found = [record for record in records if section in record]
        scores = score_fractions("value", found, fraction)
        if scores["pairs"]:
            numbers = "".join(f"{scores[key]:9.2f}" for key in ("value", "low", "high"))
            lines.append(f"{name:<28}{numbers}{scores['pairs']:8}")
    boxes = [record for record in records if "bbox" in record]
    jitter = score_jitter(boxes, "bbox") if boxes else {}
    if jitter.get("partners"):
        lines += [f"{label:<28}{jitter[key]:9.3f}" for key, label in LABELS.items()]
    return "\n".join(lines)
