"""Cutting of run-length encodings, compared with pycocotools on the pixels."""

import itertools

import numpy as np
import pycocotools.mask as mask_util
import pytest

from aa_detectron.utils.coco_rle import cut_rle, decode_runs, rle_problem


def encode(mask):
    return mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))


def masks():
    draw = np.random.default_rng(0)
    yield from (
        draw.random((draw.integers(1, 9), draw.integers(1, 9))) < p for p in [0.1, 0.9] * 30
    )
    yield from (np.full((5, 4), value) for value in (False, True))
    blob = np.zeros((40, 30), bool)
    blob[:, 3:9] = blob[10:20] = True  # whole columns, and rows that cross all columns
    yield blob


@pytest.mark.parametrize("mask", list(masks()))
def test_a_cut_is_what_pycocotools_encodes(mask):
    rle = encode(mask)
    spans = [
        [slice(a, b) for a, b in itertools.combinations(sorted({0, 1, n // 2, n - 1, n}), 2)]
        for n in mask.shape
    ]
    listed = {"size": rle["size"], "counts": decode_runs(rle["counts"]).tolist()}
    for rows, columns in itertools.product(*spans):
        expected = encode(mask[rows, columns])
        assert cut_rle(rle, rows, columns) == expected
        assert cut_rle(listed, rows, columns) == expected


def test_runs_without_pixels():
    rle = mask_util.frPyObjects({"size": [3, 2], "counts": [1, 1, 0, 2, 0, 0, 2]}, 3, 2)
    assert rle_problem(rle, 3, 2) is None
    assert cut_rle(rle, slice(0, 3), slice(0, 2)) == encode(mask_util.decode(rle))
