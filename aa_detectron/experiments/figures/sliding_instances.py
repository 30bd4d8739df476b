"""Instances that appear and vanish while a window slides over an image: numbers and their plot."""

import numpy as np
from detectron2.structures import Instances
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aa_detectron.consistency.adapters.predictions import read_prediction
from aa_detectron.consistency.instances import pair_record
from aa_detectron.consistency.intervals import percent
from aa_detectron.consistency.records import THRESHOLDS, main_fraction
from aa_detectron.consistency.shifts import Offset

from .style import literal

SAME = THRESHOLDS["mAISC50"]
"""IoU above which an instance of the next position is the same instance."""


def follow_instances(
    outputs: list[Instances], offsets: list[Offset], score_thresh: float = 0.5
) -> dict:
    """Follows the instances from each position of a window to the next.

    Adjacent positions are compared like the crops of a pair, see
    :func:`~aa_detectron.consistency.instances.pair_record`, by masks if the model has masks. An
    instance with a match of IoU > 0.5 at the next position stays the same; any other instance has
    vanished. An instance without such a match at the position before has appeared.

    Args:
        outputs: a model's instances at each position, in pixels of the window.
        offsets: (y, x) of the windows.
        score_thresh: instances with a lower score do not count.

    Returns:
        {"positions": [{"instances": [{"index": index in the output, "category", "score", "track":
        number of the instance, the same at all positions}, ...], "appeared": [indices],
        "vanished": [indices at the position before]}, ...], "appeared" and "vanished": total
        numbers, "consistency": AISC at IoU > 0.9, mean over adjacent positions, in percent}.
    """
    predictions = [read_prediction(o, o.image_size, score_thresh) for o in outputs]
    positions = [_start(outputs[0], score_thresh)]
    tracks = dict(enumerate(range(len(outputs[0]))))
    number, fractions = len(tracks), []
    for i in range(1, len(outputs)):
        both, pair = (offsets[i - 1], offsets[i]), predictions[i - 1 : i + 1]
        record = pair_record(0, i, both, outputs[i].image_size, *pair)
        section = record["segm" if "segm" in record else "bbox"]
        kept = {
            section["second"][old["match"]]["index"]: tracks[old["index"]]
            for old in section["first"]
            if old["iou"] > SAME
        }
        position = _start(outputs[i], score_thresh)
        tracks = {}
        for index in range(len(outputs[i])):
            tracks[index] = kept.get(index, number)
            number += index not in kept
        position["appeared"] = [n["index"] for n in section["second"] if n["index"] not in kept]
        position["vanished"] = [n["index"] for n in section["first"] if n["iou"] <= SAME]
        for instance in position["instances"]:
            instance["track"] = tracks[instance["index"]]
        positions.append(position)
        fractions.append(main_fraction(record))
    return {
        "positions": positions,
        "appeared": sum(len(p["appeared"]) for p in positions),
        "vanished": sum(len(p["vanished"]) for p in positions),
        "consistency": percent(fractions),
    }


def _start(output: Instances, score_thresh: float) -> dict:
    """A position with new instances only, none of which count as appeared."""
    instances = [
        {"index": index, "category": category, "score": score, "track": index}
        for index, (category, score) in enumerate(
            zip(output.pred_classes.tolist(), output.scores.tolist(), strict=True)
        )
        if score >= score_thresh
    ]
    return {"instances": instances, "appeared": [], "vanished": []}


def draw_counts(models: dict[str, dict], offsets: list[Offset]) -> Figure:
    """The number of instances at each position, and how many have appeared or vanished there.

    Args:
        models: return values of :func:`follow_instances` by the models' names.
        offsets: (y, x) of the windows.
    """
    figure = Figure(figsize=(6, 4.2), dpi=160, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    x = np.array([x for _, x in offsets])
    width = 0.8 / len(models)
    lines = {}
    for place, (name, found) in enumerate(models.items()):
        positions = found["positions"]
        (line,) = above.step(x, [len(p["instances"]) for p in positions], where="mid")
        label = f"(appeared {found['appeared']}, vanished {found['vanished']})"
        lines[f"{literal(name)} {label}"] = line
        at = x + (place - (len(models) - 1) / 2) * width
        for key, sign in (("appeared", 1), ("vanished", -1)):
            heights = [sign * len(p[key]) for p in positions]
            below.bar(at, heights, width, color=line.get_color())
    above.set_ylabel("instances")
    above.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(
        list(lines.values()), list(lines), loc="outside upper center", fontsize=8, ncols=2
    )
    below.set_ylabel("appeared (above 0),\nvanished (below)", size=8)
    below.yaxis.set_major_locator(MaxNLocator(integer=True))
    below.axhline(0, color="k", linewidth=0.6)
    below.set_xlabel("position of the window (pixels)")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (above, below):
        axes.grid(alpha=0.3)
    return figure
