"""Models that find nothing return empty arrays without the axes of masks."""

import numpy as np
import pytest
from consistency.models import bright_things, squares

from aa_detectron.consistency import (
    ConsistencyMetric,
    average_shifts,
    evaluate_consistency,
    stride_aligned,
)
from aa_detectron.errors import InputError, InvalidOption

NOTHING = {key: np.array([]) for key in ("boxes", "scores", "classes", "masks")}


def mostly_nothing(crops):
    """A model that finds the bright things of images with a mark in the first pixel."""
    return [bright_things([crop])[0] if crop[..., 2].any() else NOTHING for crop in crops]


@pytest.mark.parametrize("shifts", ["crop", "circular", "fractional"])
@pytest.mark.parametrize(
    "wrap", [lambda f: f, lambda f: stride_aligned(f, 4), lambda f: average_shifts(f, 4, 2)]
)
def test_images_without_instances(wrap, shifts):
    dark = np.zeros((48, 56, 3), np.uint8)
    options = {"shifts": shifts, "score_thresh": 0.3, "pairs_per_image": 2}
    result = evaluate_consistency(
        wrap(mostly_nothing), [dark, squares()[60:130, 60:170]], **options
    )
    scores = result.scores["consistency_segm"]
    assert (scores["pairs"], scores["empty"]) == (2, 2) and scores["mAISC"] > 0
    nothing = evaluate_consistency(wrap(mostly_nothing), [dark], **options)
    assert nothing.scores["consistency_bbox"]["empty"] == 2


def test_the_metric():
    found = bright_things([squares()])[0]
    metric = ConsistencyMetric()
    for pair in ((NOTHING, found), (found, NOTHING)):
        record = metric.update(*pair, ((0, 0), (1, 1)))
        assert record["size"] == [160, 200]
    assert metric.update(NOTHING, NOTHING, ((0, 0), (1, 1)), size=(160, 200))["segm"]["first"] == []
    with pytest.raises(InvalidOption, match="size is None"):
        metric.update(NOTHING, NOTHING, ((0, 0), (1, 1)))


@pytest.mark.parametrize(
    "rle, error", [({"counts": [4]}, InvalidOption), ({"size": 4, "counts": [4]}, InputError)]
)
def test_the_metric_with_a_mask_that_lacks_its_size(rle, error):
    found = {"boxes": [[0, 0, 2, 2]], "scores": [0.9], "classes": [1], "masks": [rle]}
    with pytest.raises(error, match="size"):
        ConsistencyMetric().update(found, found, ((0, 0), (1, 1)))
