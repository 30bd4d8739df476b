"""Masks whose runs are a list give the records of the same masks as arrays."""

import numpy as np
import pytest
from consistency.models import bright_things, squares

from aa_detectron.consistency import average_shifts, evaluate_consistency, stride_aligned
from aa_detectron.consistency.sources.images import ImageItem


def runs(mask):
    """COCO's runs along the columns, zeros first."""
    pixels = mask.ravel(order="F").astype(int)
    starts = np.flatnonzero(np.diff(pixels, prepend=0))
    counts = np.diff([0, *starts, pixels.size]).tolist()
    return {"size": list(mask.shape), "counts": counts}


def with_runs(found):
    return found | {"masks": list(map(runs, found["masks"]))}


def listed(crops):
    return list(map(with_runs, bright_things(crops)))


def small(number):
    return squares(number)[60:130, 60:170]


@pytest.mark.parametrize("shifts", ["crop", "circular", "fractional"])
@pytest.mark.parametrize(
    "wrap", [lambda f: f, lambda f: stride_aligned(f, 4), lambda f: average_shifts(f, 4, 2)]
)
def test_predictions(wrap, shifts):
    options = {"shifts": shifts, "score_thresh": 0.3}
    expected = evaluate_consistency(wrap(bright_things), [small(0), small(1)], **options)
    found = evaluate_consistency(wrap(listed), [small(0), small(1)], **options)
    assert found.records == expected.records
    assert all(record["segm"]["first"] for record in found.records)


@pytest.mark.parametrize("shifts", ["crop", "circular", "fractional"])
def test_truth(shifts):
    truth = bright_things([small(0)])[0]
    expected, found = (
        evaluate_consistency(
            bright_things, [ImageItem(0, lambda: small(0), t)], shifts=shifts, score_thresh=0.3
        )
        for t in (truth, with_runs(truth))
    )
    assert found.records == expected.records and found.records[0]["segm"]["objects"]
