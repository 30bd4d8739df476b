"""Wrappers around models whose errors the remedies remove, wholly or in part."""

import re

import numpy as np
import pytest
from consistency.models import answers, bright_things, labels, noise, pixels, squares

from aa_detectron.consistency import (
    average_shifts,
    evaluate_consistency,
    evaluate_sweep,
    stride_aligned,
)
from aa_detectron.consistency.merging import merge, merge_label_maps
from aa_detectron.consistency.shifts import draw_offsets
from aa_detectron.errors import InputError, InvalidOption


def test_aligned_crops_meet_the_grid_at_the_same_phase():
    images = [noise(1), noise(2)]
    plain = evaluate_sweep(labels, images, stride=8, max_shift=32)
    aligned = evaluate_sweep(stride_aligned(labels, 8), images, stride=8, max_shift=32)
    assert plain.phase_gap("mASSC")["gap"] > 50
    # Only the windows at the crop's own border see copies of the border.
    assert min(point["value"] for point in aligned.curve("mASSC")) > 90
    inside = [labels([image])[0] for image in images]
    model = stride_aligned(labels, 8)
    (found,) = model([images[0][5:101, 11:120]], [(5, 11)])
    assert np.array_equal(found["sem_seg"][8:-8, 8:-8], inside[0][13:93, 19:112])


@pytest.mark.parametrize("wrap", [lambda f: stride_aligned(f, 8), lambda f: average_shifts(f, 8)])
@pytest.mark.parametrize("model", [pixels, bright_things, lambda crops: [3] * len(crops)])
def test_models_that_see_each_pixel_alone_do_not_change(wrap, model):
    options = {"pairs_per_image": 3, "score_thresh": 0.0, "batch_size": 2}
    images = [squares(), squares(3)]
    expected = evaluate_consistency(model, images, **options)
    found = evaluate_consistency(wrap(model), images, **options)
    for section, scores in expected.scores.items():
        assert found.scores[section] == pytest.approx(scores, nan_ok=True)
    for one, other in zip(expected.records, found.records, strict=True):
        if "segm" in one:
            assert areas(one) == areas(other)


def areas(record):
    return sorted(instance["area"] for instance in record["segm"]["first"])


def test_an_average_over_all_shifts_of_the_diagonal_has_no_phase_on_it():
    """Its mean over the windows of every phase moves with the content."""

    def scores(crops):
        found = []
        for label_map in labels(crops):
            found.append(np.stack([label_map == c for c in range(4)]).astype(np.float32))
        return found

    plain = evaluate_sweep(scores, [noise()], stride=8, max_shift=32)
    mean = evaluate_sweep(average_shifts(scores, 8, 8), [noise()], stride=8, max_shift=32)
    assert plain.phase_gap("mASSC")["gap"] > 50
    assert mean.phase_gap("mASSC")["gap"] < 5
    vote = evaluate_sweep(average_shifts(labels, 8, 8), [noise()], stride=8, max_shift=32)
    assert vote.records == mean.records  # votes are means of one-hot scores


def test_logits_are_averaged_and_classes_vote():
    crop = noise()[:64, :80]
    steps = range(0, 8, 2)
    copies = [np.pad(crop, [(s, 6 - s), (s, 6 - s), (0, 0)], mode="edge") for s in steps]
    (found,) = average_shifts(answers, 8, 4)([crop])
    assert found["logits"] == pytest.approx(np.mean(answers(copies), axis=0))
    turn = iter([1, 2, 2, 0])
    (found,) = average_shifts(lambda crops: [next(turn)], 8, 4)([crop])
    assert found["class"] == 2
    turn = iter([{"class": 1, "score": 0.5}])
    (found,) = stride_aligned(lambda crops: [next(turn)], 8)([crop], [(1, 2)])
    assert found == {"class": 1, "score": 0.5}


def instances(boxes, scores, classes, masks=None):
    found = {"boxes": np.array(boxes, float).reshape(-1, 4), "scores": np.array(scores)}
    found["classes"] = np.array(classes, int)
    return found if masks is None else found | {"masks": np.array(masks, bool)}


def test_instances_are_merged():
    first = instances(
        [[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]], [0.9, 0.8, 0.4], [1] * 3
    )
    second = instances([[0, 2, 10, 12], [20, 20, 30, 30]], [0.7, 0.6], [1, 2])
    merged = merge([first, second])
    assert merged["boxes"].tolist() == [
        [0, 1, 10, 11],  # both: the mean
        [20, 20, 30, 30],  # of different classes, so they stay apart
        [20, 20, 30, 30],
        [50, 50, 60, 60],
    ]
    assert merged["scores"] == pytest.approx([0.8, 0.4, 0.3, 0.2])
    assert merged["classes"].tolist() == [1, 1, 2, 1]
    twins = instances([[0, 0, 10, 10], [0, 0, 10, 9]], [0.9, 0.8], [1, 1])
    assert len(merge([twins, twins])["scores"]) == 2  # a prediction adds one instance to a group
    nothing = instances([], [], [])
    assert merge([nothing, first])["scores"] == pytest.approx([0.45, 0.4, 0.2])
    assert merge([nothing, nothing])["boxes"].shape == (0, 4)


def test_masks_are_merged_by_majority():
    mask = np.zeros((3, 1, 4, 4), bool)
    mask[0, 0, :2], mask[1, 0, 1:3], mask[2, 0, 1:2] = True, True, True
    box = [[0, 0, 4, 4]]
    merged = merge([instances(box, [0.5], [0], m) for m in mask])
    assert merged["masks"].tolist() == mask[2].tolist()
    half = merge([instances(box, [0.5], [0], m) for m in mask[:2]])
    assert half["masks"].tolist() == (mask[0] | mask[1]).tolist()
    empty = instances([], [], [], np.zeros((0, 4, 4)))
    assert merge([empty, instances(box, [0.5], [0], mask[0])])["masks"].tolist() == mask[0].tolist()


def test_instance_segmentation_that_finds_nothing():
    nothing = {"boxes": [], "scores": [], "classes": [], "masks": []}
    predict = average_shifts(lambda crops: [nothing] * len(crops), 2, 2)
    found = evaluate_consistency(predict, [noise()], progress=False)
    assert {"consistency_bbox", "consistency_segm"} <= found.scores.keys()


def test_options():
    with pytest.raises(InvalidOption, match="stride is 0"):
        stride_aligned(pixels, 0)
    for count in (0, 9):
        with pytest.raises(InvalidOption, match="from 1 to the stride, 8"):
            average_shifts(pixels, 8, count)
    for wrap in (average_shifts, stride_aligned):
        with pytest.raises(InvalidOption, match="a function of crops alone"):
            wrap(stride_aligned(pixels, 8), 8)
    model = stride_aligned(average_shifts(pixels, 8), 8)
    assert evaluate_consistency(model, [squares()]).scores["consistency_sem_seg"]["mASSC"] == 100


@pytest.mark.parametrize("wrap", [lambda f: stride_aligned(f, 8), lambda f: average_shifts(f, 8)])
def test_predictors_that_return_too_few(wrap):
    with pytest.raises(InputError, match="0 long, but must return a list of 1"):
        evaluate_consistency(wrap(lambda crops: []), [squares()])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda f: f,
        lambda f: stride_aligned(f, 8),
        lambda f: average_shifts(f, 8),
        lambda f: lambda crops: [stride_aligned(f, 8)([crop], [(0, 0)])[0] for crop in crops],
    ],
)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_errors_name_the_image_and_the_crop(wrap, batch_size):
    """The second crop of image 1 is the only one with a bright corner."""

    def model(crops):
        return [
            {} if crop[0, 0, 0] > 99 else found
            for crop, found in zip(crops, pixels(crops), strict=True)
        ]

    dark = np.zeros((32, 32, 3), np.uint8)
    offsets = draw_offsets(32, 32, 32, seed=0, image_id=1, pair=0)
    image = dark.copy()
    image[offsets[1]] = 200
    assert image[offsets[0]].max() == 0
    name = re.escape(f"image 1, crop at {offsets[1]}: a prediction is dict with keys none")
    with pytest.raises(InputError, match=f"^{name}"):
        evaluate_consistency(wrap(model), [dark, image, dark], batch_size=batch_size)
    twice = stride_aligned(average_shifts(model, 8), 8)
    with pytest.raises(InputError, match=f"^{name}"):
        evaluate_consistency(twice, [dark, image])
    with pytest.raises(InputError, match="^a prediction is dict with keys none"):
        evaluate_consistency(twice, [dark, image], batch_size=4)


def test_binary_maps_vote():
    def bright(crops):
        return [crop[..., 0] > 99 for crop in crops]

    def in_front(crops):
        return [{"sem_seg": found[None].astype(int)} for found in bright(crops)]

    expected = evaluate_consistency(bright, [squares()]).records
    assert expected[0]["sem_seg"]["per_class"].keys() == {"0", "1"}
    for model in (bright, in_front):
        assert evaluate_consistency(average_shifts(model, 8), [squares()]).records == expected


@pytest.mark.parametrize("copies", [1, 2, 3, 6])
def test_label_maps_vote(copies):
    """The first label among the most common ones, counted at each pixel alone."""
    maps = np.random.default_rng(copies).integers(0, 4, (copies, 13, 17), np.uint8)
    expected = np.apply_along_axis(lambda labels: np.bincount(labels).argmax(), 0, maps)
    found = merge_label_maps(list(maps))
    assert found.dtype == np.int64 and np.array_equal(found, expected)


def test_labels_that_are_large_ids():
    """Counts of every number up to the label would need terabytes."""
    maps = np.zeros((3, 4, 5), np.int64)
    maps[:2, 1], maps[2, 2] = 2**40, 2**40
    assert merge_label_maps(list(maps)).tolist() == maps[0].tolist()
    assert merge([{"class": answer} for answer in (2**40, 7, 2**40)]) == {"class": 2**40}
    assert merge([{"class": answer} for answer in (2**40, 7)]) == {"class": 7}
