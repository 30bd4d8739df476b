"""The outputs of models: the evaluators read them as the library does, and reject the same."""

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances, RotatedBoxes

from aa_detectron.consistency import ConsistencyMetric
from aa_detectron.errors import InputError
from aa_detectron.evaluation import (
    ClassificationConsistencyEvaluator,
    ClassificationEvaluator,
    InstanceConsistencyEvaluator,
    SemSegConsistencyEvaluator,
)

SIZE = (20, 24)
OFFSETS = ((0, 0), (2, 3))


def inputs():
    pair = {"offsets": OFFSETS, "number": 0, "image_size": (24, 28)}
    item = {"file_name": "a.png", "image_id": 7, "height": SIZE[0], "width": SIZE[1]}
    return [item | {"pair": pair | {"first": first}} for first in (True, False)]


def records(output, *outputs):
    """Records of all evaluators of pairs."""
    found = []
    for make in (
        InstanceConsistencyEvaluator,
        SemSegConsistencyEvaluator,
        ClassificationConsistencyEvaluator,
    ):
        evaluator = make("name", distributed=False)
        evaluator.process(inputs(), [output, *outputs] if outputs else [output, output])
        found += evaluator.records
    return found


def instances(number=3, make=Boxes, **changes):
    corners = torch.arange(2.0 * number).reshape(number, 2)
    boxes = torch.cat([corners, corners + 8, torch.zeros(number, make is RotatedBoxes)], dim=1)
    columns = {"scores": torch.linspace(0.9, 0.3, number), "pred_classes": torch.arange(number)}
    return Instances(SIZE, **{"pred_boxes": make(boxes)} | columns | changes)


def panoptic():
    """What Detectron2's panoptic FPN returns."""
    segments = torch.zeros(SIZE, dtype=torch.int32), [{"id": 1, "isthing": False}]
    masks = torch.rand(3, *SIZE) < 0.5
    found = instances(pred_masks=masks)
    return {"instances": found, "sem_seg": torch.rand(2, *SIZE), "panoptic_seg": segments}


@pytest.mark.parametrize(
    "output",
    [
        panoptic(),
        {"instances": instances()},
        {"instances": instances(0, pred_masks=torch.zeros(0, *SIZE, dtype=torch.uint8))},
        {"sem_seg": torch.rand(5, *SIZE)},
        {"sem_seg": torch.randint(0, 3, SIZE, dtype=torch.int32)},
        {"logits": torch.randn(4).half()},
    ],
)
def test_the_library_makes_the_same_records(output):
    (record, *more) = records(output)
    for other in more:
        record |= other
    metric = ConsistencyMetric()
    expected = metric.update(output, output, OFFSETS, size=SIZE, image_id=7)
    assert {key: record[key] for key in expected} == expected
    assert record.keys() - expected.keys() <= {"classification"}


@pytest.mark.parametrize(
    "output, message",
    [
        ({"instances": instances(scores=torch.tensor([0.9, np.nan, 0.8]))}, "scores hold NaN"),
        ({"instances": instances(pred_boxes=Boxes(torch.full((3, 4), np.nan)))}, "boxes hold NaN"),
        ({"instances": instances(make=RotatedBoxes)}, r"boxes are of shape \(3, 5\)"),
        ({"sem_seg": torch.full((3, *SIZE), np.nan)}, "sem_seg holds NaN"),
        ({"sem_seg": torch.rand(1, *SIZE)}, "sem_seg has one channel"),
        ({"sem_seg": torch.rand(3, 10, 12)}, "sem_seg has 10x12 pixels, but must have 20x24"),
        ({"logits": torch.tensor([0.5, np.nan])}, "logits hold NaN"),
        ({"logits": torch.tensor([0.5])}, "two or more classes"),
    ],
)
def test_outputs_that_cannot_be_used(output, message):
    with pytest.raises(InputError, match=f"a.png: .*{message}"):
        records(output)
    with pytest.raises(InputError, match=message):
        ConsistencyMetric().update(output, output, OFFSETS, size=SIZE)


def test_an_output_for_one_crop_only():
    for pair in (({"logits": torch.zeros(2)}, {}), ({}, {"logits": torch.zeros(2)})):
        with pytest.raises(InputError, match="a.png: the model's outputs have no 'logits'"):
            records(*pair)


@pytest.mark.parametrize(
    "output, message",
    [
        ({"logits": torch.full((3,), np.nan)}, "logits hold NaN"),
        ({"instances": None}, "the model's outputs have no 'logits'"),
    ],
)
def test_accuracy_of_outputs_that_cannot_be_used(output, message):
    for item, name in (({"file_name": "a.png"}, "a.png"), ({"image_id": "x"}, "image 'x'")):
        evaluator = ClassificationEvaluator("name")
        with pytest.raises(InputError, match=f"{name}: {message}"):
            evaluator.process([item | {"category_id": 0}], [output])


def test_accuracy_of_no_image():
    assert ClassificationEvaluator("name").evaluate() == {}
