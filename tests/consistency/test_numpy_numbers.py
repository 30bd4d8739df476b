"""Numbers of NumPy's types give the files that Python's numbers give."""

import json

import numpy as np
import pytest
from consistency.models import bright_things, pixels, squares

from aa_detectron.consistency import ConsistencyMetric, evaluate_consistency, evaluate_sweep
from aa_detectron.errors import InputError

PAIRS = {"max_shift": 8, "pairs_per_image": 2, "seed": 3, "batch_size": 2, "steps_per_pixel": 2}
SWEEP = {"max_shift": 8, "stride": 2, "steps_per_pixel": 2}
RULES = {"score_thresh": 0.5, "match_class": False}


@pytest.mark.parametrize("shifts", ["crop", "circular", "fractional"])
@pytest.mark.parametrize(
    "measure, options", [(evaluate_consistency, PAIRS), (evaluate_sweep, SWEEP)]
)
def test_options(measure, options, shifts, tmp_path):
    rules = {"score_thresh": np.float32(0.5), "match_class": np.bool_(False)}
    of_numpy = {name: np.int64(value) for name, value in options.items()} | rules
    small = squares()[60:124, 90:154]
    expected = measure(bright_things, [small], shifts=shifts, **options, **RULES)
    found = measure(bright_things, [small], shifts=shifts, **of_numpy)
    assert json.dumps(found.to_dict()) == json.dumps(expected.to_dict())
    found.save(tmp_path / "records.json")


@pytest.mark.parametrize(
    "offsets",
    [
        np.array([[1, 2], [3, 5]]),
        np.array([[1, 2], [3, 5]], np.uint8),
        [np.array([1, 2]), np.array([3, 5])],
        ((1.0, 2.0), (3.0, 5.0)),
    ],
)
@pytest.mark.parametrize("model", [bright_things, pixels])
def test_places_of_a_pair(model, offsets, tmp_path):
    outputs = [model([squares()[y : y + 150, x : x + 190]])[0] for y, x in ((1, 2), (3, 5))]
    expected = ConsistencyMetric().update(*outputs, ((1, 2), (3, 5)), image_id=4, pair=7)
    metric = ConsistencyMetric(score_thresh=np.float32(0.5))
    place = {"image_id": np.int64(4), "pair": np.int64(7), "size": np.array([150, 190])}
    truth = {"boxes": np.array([[60.0, 70, 95, 100]]), "classes": np.array([0], np.int8)}
    found = metric.update(*outputs, offsets, **place)
    assert json.dumps(found) == json.dumps(expected)
    metric.update(*outputs, offsets, truth=truth | {"class": np.int64(1)})
    metric.compute().save(tmp_path / "records.json")


@pytest.mark.parametrize(
    "offsets",
    [
        ((0.5, 0), (1, 1)),
        ((0, 0), (1, np.nan)),
        ((0, 0), (1, np.inf)),
        ((0, 0), (1, 2**40)),
        ((0, 0, 0), (1, 1, 1)),
        ((0, 0), (1,)),
        (0, 0, 1, 1),
        "ab",
        None,
    ],
)
def test_offsets_that_cannot_be_used(offsets):
    found = pixels([squares()])[0]
    with pytest.raises(InputError, match="^offsets: found .*, but must be ") as error:
        ConsistencyMetric().update(found, found, offsets)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [(160,), (160.5, 200), 160, (1, 160, 200)])
def test_sizes_that_cannot_be_used(size):
    with pytest.raises(InputError, match="size: found .*, but must be .height, width. in whole"):
        ConsistencyMetric().update(3, 3, ((0, 0), (1, 1)), size=size)
