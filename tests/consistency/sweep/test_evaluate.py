"""Sweeps of models whose consistency is known at every shift."""

import numpy as np
import pytest
from consistency.models import answers, bright_things, labels, noise, pixels, squares

from aa_detectron.consistency import evaluate_sweep
from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.consistency.jitter import score_jitter
from aa_detectron.consistency.sources.images import ImageItem
from aa_detectron.consistency.sweep.groups import sweep_offsets
from aa_detectron.errors import InputError, InvalidOption

LARGE = (256, 264)


def test_offsets():
    assert sweep_offsets(256, 300, 64, 32) == [(32 + t, 32 + t) for t in range(33)]
    assert sweep_offsets(256, 300, 63, 8, "x") == [(24, 24 + t) for t in range(33)]
    assert sweep_offsets(40, 300, 63, 8, "y") == [(t, 0) for t in range(6)]
    with pytest.raises(ValueError, match="no room"):
        sweep_offsets(3, 300, 64, 32)


def test_a_model_on_a_grid_of_8_pixels():
    images = [noise(i, LARGE) for i in range(3)]
    result = evaluate_sweep(labels, images, max_shift=64, stride=8)
    curve = result.curve("mASSC")
    assert [point["shift"] for point in curve] == list(range(33))
    values = [point["value"] for point in curve]
    assert [t for t, v in enumerate(values) if v == 100] == [0, 8, 16, 24, 32]
    by_hand = [by_loop(images, shift) for shift in range(33)]
    assert values == pytest.approx(by_hand)
    others = [v for t, v in enumerate(by_hand) if t % 8]
    gap = result.phase_gap("mASSC")
    assert gap["gap"] == pytest.approx(100 - sum(others) / len(others))
    assert gap["low"] < gap["gap"] < gap["high"]


def by_loop(images, shift):
    """Percent of equal labels, as the definition says it."""
    fractions = []
    for image in images:
        height, width = image.shape[0] - 64, image.shape[1] - 64
        crops = [image[o : o + height, o : o + width] for o in (32, 32 + shift)]
        first, second = labels(crops)
        equal = first[shift:, shift:] == second[: height - shift, : width - shift]
        fractions.append(equal.mean())
    return 100 * sum(fractions) / len(fractions)


@pytest.mark.parametrize("direction", ["diagonal", "x", "y"])
def test_a_model_that_sees_each_pixel_alone(direction):
    images = [squares(i) for i in range(2)]
    for model in (pixels, bright_things):
        result = evaluate_sweep(model, images, stride=4, direction=direction, score_thresh=0)
        for name in result.metrics():
            expected = 0 if name.endswith(("flicker", "score change")) else 100
            curve = result.curve(name)
            assert {p["value"] for p in curve} == {expected}, name
            assert len(curve) == (21 if "every shift" not in name else len(curve))
            assert result.phase_gap(name)["gap"] == 0 or "every shift" in name


def test_every_shift():
    image = noise(1, LARGE)
    truth = image[..., 0].astype(int) // 64
    items = [ImageItem(0, lambda: image, {"sem_seg": truth})]
    result = evaluate_sweep(labels, items, max_shift=16, stride=8)
    size = 256 - 16, 264 - 16
    maps = [labels([image[o:, o:][: size[0], : size[1]]])[0] for o in range(8, 17)]
    common = np.array([m[8 - t : size[0] - t, 8 - t : size[1] - t] for t, m in enumerate(maps)])
    same = (common == common[0]).all(axis=0)
    right = (common == truth[16 : 8 + size[0], 16 : 8 + size[1]]).all(axis=0)
    found = result.records[-1]["sem_seg"]["every_shift"]
    assert found == [same.size, same.sum(), right.sum()] and 0 < right.sum() < same.sum()
    assert all("every_shift" not in record["sem_seg"] for record in result.records[:-1])


def tinted(number):
    """Noise with more and more green, in the end with red."""
    image = noise(number) // 2
    image[..., 1 if number < 8 else 0] += np.uint8(2 * number)
    return image


def test_every_shift_of_classes():
    items = [ImageItem(i, lambda i=i: tinted(i), {"class": 1}) for i in range(9)]
    result = evaluate_sweep(answers, items, max_shift=8, stride=2)
    crops = [[tinted(i)[o:, o:][:152, :192] for o in range(4, 9)] for i in range(9)]
    found = [{int(a.argmax()) for a in answers(moved)} for moved in crops]
    (same,) = result.curve("consistency every shift")
    (right,) = result.curve("consistency every shift correct")
    assert same["value"] == pytest.approx(100 * np.mean([len(a) == 1 for a in found]))
    assert right["value"] == pytest.approx(100 * np.mean([a == {1} for a in found]))
    assert 0 < right["value"] < same["value"] < 100


def test_a_planted_drift():
    """Boxes that are a quarter of a pixel further right in crops at odd offsets."""
    image = squares()
    image[..., 2] = np.arange(image.shape[1])

    def model(crops):
        found = bright_things(crops)
        for crop, prediction in zip(crops, found, strict=True):
            prediction["boxes"][:, ::2] += 0.25 * (crop[0, 0, 2] % 2)
        return found

    result = evaluate_sweep(model, [image], max_shift=16, stride=2, score_thresh=0)
    for record in result.records:
        scores = score_jitter([record], "bbox")
        assert scores["drift"] == scores["drift95"] == 0.25 * (record["pair"] % 2)
        assert scores["width_ratio"] == scores["height_ratio"] == scores["flicker"] == 0
    assert result.scores["consistency_bbox"]["drift"] == pytest.approx(0.25 * 4 / 8)


def test_a_random_model_is_seen_at_shift_0():
    draw = np.random.default_rng(0)

    def model(crops):
        return [draw.integers(0, 4, crop.shape[:2]) for crop in crops]

    result = evaluate_sweep(model, [noise()], max_shift=8)
    assert result.curve("mASSC")[0]["value"] == pytest.approx(25, abs=2)


def test_the_crop_against_itself_does_not_count_in_the_scores():
    """Labels that are the number of the crop: the same at shift 0, different at all others."""
    image = squares()
    image[:] = np.arange(image.shape[1])[None, :, None]

    def model(crops):
        return [np.full(crop.shape[:2], crop[0, 0, 0]) for crop in crops]

    result = evaluate_sweep(model, [image], max_shift=8)
    assert [point["value"] for point in result.curve("mASSC")] == [100, 0, 0, 0, 0]
    assert result.scores["consistency_sem_seg"]["mASSC"] == 0
    (row,) = [line for line in str(result).splitlines() if line.startswith("mASSC  ")][:1]
    assert row.split()[1] == "0.00"


def test_the_file(tmp_path):
    result = evaluate_sweep(pixels, [squares()], max_shift=8, stride=2)
    result.save(tmp_path / "sweep.json")
    report = read_report(tmp_path / "sweep.json")
    assert report["pairs"] == result.records and report["stride"] == 2
    assert report["phase_gaps"]["mASSC"] == {"gap": 0.0, "low": None, "high": None}  # one image


def test_options():
    for option, value in (("direction", "z"), ("stride", 0), ("max_shift", 0), ("batch_size", 0)):
        with pytest.raises(InvalidOption, match=option):
            evaluate_sweep(pixels, [squares()], **{option: value})
    result = evaluate_sweep(pixels, [squares()], max_shift=8)
    with pytest.raises(InputError, match="no metric 'mask mAISC', but: mASSC"):
        result.curve("mask mAISC")
    assert np.isnan(result.phase_gap("mASSC")["gap"])  # no shift is a multiple of 32
