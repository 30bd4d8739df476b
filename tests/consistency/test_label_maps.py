"""mASSC against a loop over pixels."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest

from aa_detectron.consistency.label_maps import label_pair_record, near_boundary, score_label_pairs

CLASSES = ["ground", "disc", "bar", "never"]


def brute_force(offsets, first, second, counted):
    """(pixels, equal) by class of the first crop, every pixel of the image looked at."""
    height, width = first.shape
    counts = {}
    for y in range(100):
        for x in range(100):
            inside = [0 <= y - top < height and 0 <= x - left < width for top, left in offsets]
            if not all(inside) or not counted[y, x]:
                continue
            labels = [
                int(crop[y - top, x - left])
                for crop, (top, left) in zip((first, second), offsets, strict=True)
            ]
            pixels, equal = counts.get(labels[0], (0, 0))
            counts[labels[0]] = pixels + 1, equal + (labels[0] == labels[1])
    return counts


def random_pairs(labelled_only):
    generator = np.random.default_rng(3)
    for image in range(5):
        for number in range(3):
            height, width = generator.integers(12, 30, 2)
            first, second = generator.integers(0, 3, (2, height, width))
            offsets = generator.integers(0, 9, (2, 2)).tolist()
            counted = np.ones((100, 100), bool)
            if labelled_only:
                counted = generator.random((100, 100)) < 0.4
            if image == 4:
                counted[:] = not labelled_only
            yield image, number, offsets, first, second, counted


@pytest.mark.parametrize("labelled_only", [False, True])
def test_equals_a_loop_over_pixels(labelled_only):
    records, shares, class_shares = [], [], {c: [] for c in range(4)}
    for image, number, offsets, first, second, counted in random_pairs(labelled_only):
        records.append(
            label_pair_record(
                image,
                number,
                offsets,
                first,
                second,
                counted if labelled_only else None,
            )
        )
        counts = brute_force(offsets, first, second, counted)
        section = records[-1]["sem_seg"]
        assert section["per_class"] == {str(c): list(n) for c, n in sorted(counts.items())}
        pixels, equal = (sum(n[i] for n in counts.values()) for i in (0, 1))
        assert (section["pixels"], section["equal"]) == (pixels, equal)
        if pixels:
            shares.append(Fraction(equal, pixels))
        for c, (pixels, equal) in counts.items():
            class_shares[c].append(Fraction(equal, pixels))
    scores = score_label_pairs(json.loads(json.dumps(records)), CLASSES)
    assert scores["mASSC"] == pytest.approx(float(100 * sum(shares) / len(shares)), rel=1e-14)
    assert (scores["pairs"], scores["empty"]) == (len(shares), 15 - len(shares))
    assert len(shares) == (12 if labelled_only else 15)
    assert scores["low"] < scores["mASSC"] < scores["high"]
    for c, name in enumerate(CLASSES[:3]):
        expected = float(100 * sum(class_shares[c]) / len(class_shares[c]))
        assert scores[f"mASSC-{name}"] == pytest.approx(expected, rel=1e-14)
    assert math.isnan(scores["mASSC-never"])


def test_by_hand():
    """Crops of 2 x 3 at (0, 0) and (0, 1): the overlap is 2 x 2, three of its pixels agree."""
    first = np.array([[9, 1, 2], [9, 1, 1]])
    second = np.array([[1, 2, 7], [1, 0, 7]])
    record = label_pair_record("a", 0, ((0, 0), (0, 1)), first, second)
    counts = {"pixels": 4, "equal": 3, "per_class": {"1": [3, 2], "2": [1, 1]}}
    assert record["sem_seg"] == counts | {"boundary": [4, 3]}
    scores = score_label_pairs([record], ["x", "y", "z"])
    assert scores["mASSC"] == scores["mASSC-shift-4"] == 75
    assert scores["mASSC-y"] == pytest.approx(200 / 3) and scores["mASSC-z"] == 100
    assert math.isnan(scores["mASSC-shift-8"]) and math.isnan(scores["low"])


def test_mean_over_pairs_not_over_pixels():
    zeros, ones = np.zeros((1, 2), int), np.ones((40, 40), int)
    small = label_pair_record(0, 0, ((0, 0), (0, 1)), ones[:1, :2], zeros)
    large = label_pair_record(1, 0, ((0, 0), (0, 8)), ones, ones)
    scores = score_label_pairs([small, large])
    assert scores["mASSC"] == 50
    assert (scores["mASSC-shift-4"], scores["mASSC-shift-8"]) == (0, 100)


@pytest.mark.parametrize("distance", [1, 2, 3])
def test_near_a_boundary(distance):
    labels = np.zeros((19, 23), int)
    labels[3:8, 4:12], labels[10, 19], labels[15:, :3] = 1, 2, 5
    expected = np.zeros(labels.shape, bool)
    for y, x in np.ndindex(*labels.shape):
        for v, u in np.ndindex(*labels.shape):
            near = (y - v) ** 2 + (x - u) ** 2 <= distance**2
            expected[y, x] |= near and labels[y, x] != labels[v, u]
    assert 0.1 < expected.mean() < 0.9
    assert np.array_equal(near_boundary(labels, distance), expected)


def test_the_boundary_of_a_record():
    """Two halves, whose border is a column further right in the second crop."""
    first, second = (np.repeat([[0] * n + [1] * (20 - n)], 8, axis=0) for n in (10, 11))
    counted = np.ones((8, 20), bool)
    counted[0] = False
    offsets = ((0, 0), (0, 0))
    section = label_pair_record(1, 0, offsets, first, second)["sem_seg"]
    assert section["boundary"] == [8 * 7, 8 * 6]  # columns 7 to 13; 10 differs
    section = label_pair_record(1, 0, offsets, first, second, counted)["sem_seg"]
    assert section["boundary"] == [7 * 7, 7 * 6]
    record = {"image_id": 1, "offsets": offsets, "sem_seg": section}
    assert score_label_pairs([record])["boundary"] == pytest.approx(100 * 6 / 7)
    same = label_pair_record(1, 0, offsets, first * 0, first * 0)
    assert same["sem_seg"]["boundary"] == [0, 0]
    assert np.isnan(score_label_pairs([same])["boundary"])


def test_labels_of_any_size():
    """Ids of segments, say: a count for every number up to the largest one would take 16 GB."""
    first = np.random.default_rng(0).integers(0, 3, (12, 15))
    second = np.where(first == 1, 2, first)
    large = np.array([3, 7, 2**31])
    small, found = (
        label_pair_record(0, 0, ((0, 0), (0, 0)), *maps)["sem_seg"]
        for maps in ((first, second), (large[first], large[second]))
    )
    names = dict(zip("012", map(str, large), strict=True))
    assert found == small | {"per_class": {names[c]: n for c, n in small["per_class"].items()}}
