"""Ground truth that the user passes, checked before it is compared."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
from consistency.models import bright_things, noise, pixels, squares

from aa_detectron.consistency import ConsistencyMetric, evaluate_consistency, evaluate_sweep
from aa_detectron.consistency.sources.images import ImageItem
from aa_detectron.errors import InputError

OBJECTS = {"boxes": np.array([[60.0, 70, 95, 100]]), "classes": np.array([0])}
MASKS = np.ones((1, 160, 200), bool)


def encode(masks):
    return [mask_util.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]


@pytest.mark.parametrize(
    "truth",
    [
        None,
        {},
        OBJECTS,
        OBJECTS | {"masks": MASKS},
        OBJECTS | {"masks": encode(MASKS)},
        {"boxes": [], "classes": [], "masks": []},
        {"sem_seg": np.zeros((160, 200), np.uint8), "class": np.int64(3)},
        {"class": None},
    ],
)
def test_legal_truth(truth):
    result = evaluate_consistency(bright_things, [ImageItem("a", squares, truth)])
    assert len(result.records) == 1
    found = bright_things([squares()[:150, :190]])[0]
    ConsistencyMetric().update(found, found, ((0, 0), (10, 10)), truth=truth)


@pytest.mark.parametrize(
    "truth, message",
    [
        ([1], "ground truth is list of 1, but must be a dict or None"),
        ({"boxes": OBJECTS["boxes"]}, "classes of ground truth: found None"),
        (OBJECTS | {"classes": np.zeros(2, int)}, r"boxes of shape \(1, 4\) and .* \(2,\), but"),
        (OBJECTS | {"boxes": np.zeros((1, 5))}, r"boxes of shape \(1, 5\)"),
        (OBJECTS | {"masks": MASKS[:0]}, "ground truth has 0 masks, but must have 1"),
        (OBJECTS | {"masks": MASKS[:, :99]}, "masks of ground truth have 99x200 pixels, .*160x200"),
        (OBJECTS | {"masks": encode(MASKS[:, :99])}, "masks of ground truth have 99x200 pixels"),
        (OBJECTS | {"masks": [[1, 2]]}, "mask 0 of ground truth is list"),
        (OBJECTS | {"masks": [{"size": [160, 200], "counts": [1]}]}, "mask 0 of .* has runs of 1"),
        ({"sem_seg": np.zeros((160, 99), int)}, "sem_seg of ground truth have 160x99 pixels"),
        ({"sem_seg": np.zeros((160, 200))}, r"sem_seg .* must have \(H, W\) integers"),
        ({"class": 1.5}, "class of ground truth is 1.5, but must be an integer"),
    ],
)
def test_illegal_truth(truth, message):
    with pytest.raises(InputError, match=f"image 'a': .*{message}"):
        evaluate_consistency(bright_things, [ImageItem("a", squares, truth)])
    found = bright_things([squares()[:150, :190]])[0]
    with pytest.raises(InputError, match="image 'a': "):
        ConsistencyMetric().update(found, found, ((0, 0), (10, 10)), image_id="a", truth=truth)


def test_ignored_pixels_do_not_count():
    image = noise(1)
    truth = image[..., 0].astype(int) // 64
    ignored = truth.copy()
    ignored[:, :70] = 255

    def counts(**changes):
        items = [ImageItem(0, lambda: image, {"sem_seg": ignored} | changes)]
        result = evaluate_sweep(pixels, items, max_shift=16, stride=8)
        return result.records[0]["sem_seg"], result.records[-1]["sem_seg"]["every_shift"]

    (_, all_of_them), (record, counted) = counts(), counts(ignore_label=255)
    # Crops of 144 x 184 pixels from (8, 8) to (16, 16): rows 16 to 151 and columns 16 to 191.
    assert all_of_them == [136 * 176, 136 * 176, 136 * (192 - 70)]
    assert counted == [136 * (192 - 70)] * 3
    assert record["pixels"] == record["equal"] == 144 * (192 - 70)
