"""Circular and fractional shifts of models whose consistency is known."""

import numpy as np
import pytest
from consistency.models import answers, bright_things, labels, noise, pixels, squares
from scipy.ndimage import map_coordinates

from aa_detectron.consistency import evaluate_consistency, evaluate_sweep
from aa_detectron.consistency.exchange.record_files import check_record
from aa_detectron.consistency.jitter import score_jitter
from aa_detectron.consistency.shift_kinds import SHIFT_KINDS, Fractional, shift_kind
from aa_detectron.consistency.shifts import draw_offsets, draw_positions
from aa_detectron.consistency.sources.images import ImageItem
from aa_detectron.errors import InputError, InvalidOption


def test_the_default_is_a_plain_crop():
    image = noise()
    found = evaluate_consistency(labels, [image])
    offsets = draw_offsets(160, 200, 32, seed=0, image_id=0, pair=0)
    assert found.records[0]["offsets"] == [list(offset) for offset in offsets]
    assert found.settings["shifts"] == "crop"
    assert found.records == evaluate_consistency(labels, [image], shifts="crop").records


def test_circular_label_maps_are_compared_over_the_whole_image():
    image = noise()
    result = evaluate_consistency(labels, [image], shifts="circular", pairs_per_image=4)
    for record in result.records:
        offsets = draw_offsets(160, 200, 32, seed=0, image_id=0, pair=record["pair"])
        assert record["offsets"] == [list(offset) for offset in offsets]
        assert record["size"] == [160, 200]
        maps = [
            np.roll(labels([np.roll(image, (-y, -x), (0, 1))])[0], (y, x), (0, 1))
            for y, x in offsets
        ]
        equal = (maps[0] == maps[1]).sum()
        assert record["sem_seg"]["equal"] == equal < 160 * 200 == record["sem_seg"]["pixels"]


@pytest.mark.parametrize("model", [pixels, bright_things])
def test_circular_shifts_of_a_model_that_sees_each_pixel_alone(model):
    options = {"shifts": "circular", "score_thresh": 0, "pairs_per_image": 5}
    result = evaluate_consistency(model, [squares(), squares(3)], **options)
    for name, scores in result.scores.items():
        expected = scores.get("mASSC", scores.get("mAISC"))
        assert expected == 100, name


def test_a_circular_sweep_recovers_at_the_stride():
    curve = evaluate_sweep(labels, [noise()], stride=8, max_shift=40, shifts="circular")
    whole = [p["shift"] for p in curve.curve("mASSC") if p["value"] == 100]
    assert whole == [0, 8, 16]
    still = evaluate_sweep(labels, [squares()], stride=8, max_shift=40, shifts="circular")
    same = still.records[-1]["sem_seg"]["every_shift"]
    assert same[0] == 160 * 200 and 0 < same[1] < same[0]


def test_objects_that_the_seam_cuts():
    """At offset (4, 4) the seam cuts the square in the corner, at (8, 8) it does not."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:8, :8] = 200

    def model(crops):
        found = bright_things(crops)
        for crop, prediction in zip(crops, found, strict=True):
            assert crop.shape == (64, 64, 3)
            prediction["scores"][:] = 1
        return found

    truth = {"boxes": np.array([[0, 0, 8, 8.0]]), "classes": np.array([1])}
    items = [ImageItem(0, lambda: image, truth)]
    result = evaluate_sweep(model, items, stride=4, max_shift=8, shifts="circular")
    by_shift = {record["pair"]: record for record in result.records}
    assert by_shift[0]["bbox"]["first"][0]["iou"] == 1
    assert by_shift[4]["bbox"]["objects"][0]["found"] == [False, True]
    assert by_shift[4]["segm"]["first"][0]["iou"] == 1  # masks are joined again
    assert by_shift[4]["segm"]["second"][0]["area"] == 64


@pytest.mark.parametrize("offset", [(0, 0), (3, 5), (2.5, 0), (0, 7.25), (1.75, 3.5)])
def test_fractional_crops_are_bilinear(offset):
    image = noise(1, (40, 50))
    found = Fractional(4).cut(image, offset, (30, 38))
    rows, columns = np.mgrid[:30, :38].astype(float)
    places = [rows + offset[0], columns + offset[1]]
    expected = [map_coordinates(image[..., c].astype(float), places, order=1) for c in range(3)]
    assert found.dtype == np.uint8 and found.shape == (30, 38, 3)
    assert np.abs(found - np.stack(expected, axis=-1)).max() <= 0.5


def test_fractional_offsets():
    seen = set()
    for pair in range(200):
        offsets = draw_positions(160, 200, 2, seed=0, image_id="a", pair=pair, steps_per_pixel=4)
        assert offsets[0] != offsets[1]
        seen.update(side for offset in offsets for side in offset)
    assert seen == {step / 4 for step in range(9)}


def known_box(crops):
    """The box (20, 18) to (40.5, 30.25) of an image whose red and green are 4 x and 4 y."""
    found = []
    for crop in crops:
        y, x = (crop[1, 1, c] / 4 - 1 for c in (1, 0))
        boxes = np.array([[20 - x, 18 - y, 40.5 - x, 30.25 - y]])
        found.append({"boxes": boxes, "scores": np.ones(1), "classes": np.ones(1, int)})
    return found


def coordinates(size=(60, 64)):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.stack([4 * columns, 4 * rows, 0 * rows], axis=-1).clip(0, 255).astype(np.uint8)


def test_boxes_are_compared_between_pixels():
    options = {"shifts": "fractional", "max_shift": 8, "pairs_per_image": 30}
    result = evaluate_consistency(known_box, [coordinates()], **options)
    for record in result.records:
        check_record(record)
        (instance,) = record["bbox"]["first"]
        assert instance["iou"] == pytest.approx(1)
        assert instance["area"] == 20.5 * 12.25
    assert score_jitter(result.records, "bbox")["drift"] == pytest.approx(0)
    assert any(y % 1 for record in result.records for y, _ in record["offsets"])


def test_label_maps_are_compared_at_the_nearest_pixel_without_the_border():
    image = noise(2)
    options = {"shifts": "fractional", "max_shift": 8, "pairs_per_image": 6}
    result = evaluate_consistency(labels, [image], **options)
    for record in result.records:
        offsets = [np.array(offset) for offset in record["offsets"]]
        size = tuple(record["size"])
        assert size == (152, 192)
        step = np.floor(offsets[1] - offsets[0] + 0.5).astype(int)
        first, second = labels([Fractional().cut(image, o, size) for o in offsets])
        pixels_of = [
            (y, x, y - step[0], x - step[1])
            for y in range(1, size[0] - 1)
            for x in range(1, size[1] - 1)
            if 1 <= y - step[0] < size[0] - 1 and 1 <= x - step[1] < size[1] - 1
        ]
        equal = sum(first[y, x] == second[v, u] for y, x, v, u in pixels_of)
        assert record["sem_seg"]["pixels"] == len(pixels_of)
        assert record["sem_seg"]["equal"] == equal


def test_a_fractional_sweep():
    options = {"shifts": "fractional", "steps_per_pixel": 2, "max_shift": 16, "stride": 4}
    result = evaluate_sweep(pixels, [noise(1), noise(2)], **options)
    curve = result.curve("mASSC")
    assert [point["shift"] for point in curve] == [t / 2 for t in range(17)]
    assert all((point["value"] == 100) == (point["shift"] % 1 == 0) for point in curve)
    assert 0 < result.phase_gap("mASSC")["low"]
    thirds = evaluate_sweep(answers, [noise()], **options | {"steps_per_pixel": 3})
    shifts = [point["shift"] for point in thirds.curve("consistency")]
    assert shifts == pytest.approx([t / 3 for t in range(25)], abs=1e-5)
    assert {4, 8} <= set(shifts)
    same, whole = (record["sem_seg"]["every_shift"] for record in result.records[16::17])
    assert same[0] == whole[0] == (160 - 16 - 2 - 8) * (200 - 16 - 2 - 8)


def test_masks_of_fractional_shifts():
    options = {"shifts": "fractional", "steps_per_pixel": 2, "max_shift": 16, "stride": 4}
    result = evaluate_sweep(bright_things, [squares()], score_thresh=0, **options)
    at_2, at_half = result.records[4]["segm"], result.records[1]["segm"]
    assert all(instance["iou"] == 1 for instance in at_2["first"])
    assert any(instance["iou"] < 1 for instance in at_half["first"])


@pytest.mark.parametrize("side", [4, 5, 6, 8, 11])
def test_small_images(side):
    images = [noise(number, (side, side + 1)) for number in range(20)]
    if side < 5:
        with pytest.raises(InputError, match="4x5 pixels are too small, fractional shifts need"):
            evaluate_consistency(pixels, images, shifts="fractional")
    else:
        assert len(evaluate_consistency(pixels, images, shifts="fractional").records) == 20


def test_options():
    with pytest.raises(InvalidOption, match="shifts is 'roll', but must be one of"):
        evaluate_consistency(pixels, [squares()], shifts="roll")
    with pytest.raises(InvalidOption, match="steps_per_pixel is 0"):
        evaluate_sweep(pixels, [squares()], shifts="fractional", steps_per_pixel=0)
    assert [shift_kind(name).steps_per_pixel for name in SHIFT_KINDS] == [1, 1, 4]
