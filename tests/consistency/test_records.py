"""The table of metrics: its names, and scores as means of its fractions."""

import json

import numpy as np
import pytest

from aa_detectron.consistency.classes import score_class_pairs
from aa_detectron.consistency.instances import score_pairs
from aa_detectron.consistency.label_maps import score_label_pairs
from aa_detectron.consistency.records import (
    MAIN_METRICS,
    METRICS,
    main_fraction,
    start_record,
)
from aa_detectron.errors import InputError


def instances(ious, others, seed=0):
    """Instances of the first crop by their IoUs, each matched; and a number of the second's."""
    draw = np.random.default_rng(seed)
    first = [
        {"iou": iou, "area": 9, "category": 0, "score": draw.random(), "match": i}
        for i, iou in enumerate(ious)
    ]
    second = [{"score": draw.random()} for _ in range(others)]
    objects = [{"category": 0, "found": draw.random(2) < 0.6} for _ in range(draw.integers(3))]
    return {"first": first, "second": second, "objects": objects}


def record(number):
    draw = np.random.default_rng(number)
    return start_record(number, 0, ((0, 0), (0, number + 1)), (8, 8)) | {
        "segm": instances(
            draw.choice([0, 0.6, 0.8, 1], number % 4).tolist(), 3 + number % 3, number
        ),
        "bbox": instances(
            draw.choice([0, 0.6, 0.8, 1], number % 3).tolist(), 2 + number % 2, number + 99
        ),
        "sem_seg": {
            "pixels": 9 * (number % 5),
            "equal": number % 5,
            "per_class": {},
            "boundary": [7 * (number % 3), number % 4],
            "every_shift": [11 * (number % 4), number % 3, number % 2],
        },
        "classification": {
            "first": {"label": int(draw.integers(2))},
            "second": {"label": int(draw.integers(2))},
            "category": int(draw.integers(2)),
            "every_shift": [1, int(number % 3 > 0), int(number % 7 == 0)],
        },
    }


def test_every_score_is_the_mean_of_its_fraction():
    records = [record(number) for number in range(40)]
    masks, boxes = (score_pairs(records, task) for task in ("segm", "bbox"))
    classes = score_class_pairs(records)
    scores = {
        f"{shape} {metric}": found[metric]
        for shape, found in (("mask", masks), ("box", boxes))
        for metric in ("mAISC", "mAISC50", "mAISC75")
    }
    scores |= {
        "mask mAISC symmetric": masks["symmetric"],
        "box mAISC symmetric": boxes["symmetric"],
    }
    scores |= {"mASSC": score_label_pairs(records)["mASSC"], "accuracy": classes["accuracy"]}
    scores |= {"consistency": classes["consistency"]}
    scores |= {
        f"{shape} {metric.replace('_', ' ')}": found[metric]
        for shape, found in (("mask", masks), ("box", boxes))
        for metric in ("flicker", "score_change", "consistent_and_correct")
    }
    scores["mASSC boundary"] = score_label_pairs(records)["boundary"]
    scores |= {  # of sweeps alone, and no score of an evaluator
        f"{name} every shift{more}": 100 * np.mean([c[place] / c[0] for c in counts if c[0]])
        for name, section in (("mASSC", "sem_seg"), ("consistency", "classification"))
        for counts in [[r[section]["every_shift"] for r in records]]
        for place, more in ((1, ""), (2, " correct"))
    }
    scores |= {"correct consistency": classes["correct_consistency"]}
    assert scores.keys() == METRICS.keys()
    for name, (section, fraction) in METRICS.items():
        only = [{section: r[section]} for r in records]
        found = [f for f in map(fraction, only) if f is not None]
        assert scores[name] == pytest.approx(100 * np.mean(found)), name
    assert len(set(scores.values())) == len(scores)


def test_fractions_by_hand():
    pair = {"segm": instances([0.95, 0.9, 0.6, 0.1], 1)}
    fractions = {name: METRICS[f"mask {name}"].fraction(pair) for name in ("mAISC", "mAISC50")}
    assert fractions == {"mAISC": 0.25, "mAISC50": 0.75}
    assert METRICS["mask mAISC symmetric"].fraction(pair) == 2 / 5
    nothing = {"bbox": instances([], 3)}
    assert METRICS["box mAISC"].fraction(nothing) is None
    assert METRICS["box mAISC symmetric"].fraction(nothing) == 0


@pytest.mark.parametrize("section", MAIN_METRICS)
def test_main_fraction(section):
    only = {section: record(3)[section]}
    assert main_fraction(only) == METRICS[MAIN_METRICS[section]].fraction(only)


def test_main_fraction_needs_a_section():
    with pytest.raises(InputError, match="neither instances, label maps nor classes"):
        main_fraction({"image_id": 1})


@pytest.mark.parametrize("image_id", [np.int64(7), np.str_("a"), 7, "a"])
def test_image_ids_go_to_json(image_id):
    kept = start_record(image_id, 0, ((0, 0), (1, 1)), (4, 4))
    assert json.loads(json.dumps(kept))["image_id"] == image_id
