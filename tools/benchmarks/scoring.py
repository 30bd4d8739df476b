#!/usr/bin/env python
"""Memory and time of scoring the predictions of any model, without the model.

Every measurement is a process of its own, and its peak is the resident set with all imports.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from measuring import parse_arguments, write
from PIL import Image

from aa_detectron.consistency import evaluate_consistency
from aa_detectron.consistency.crops import PairGroups, make_groups
from aa_detectron.consistency.exchange.manifest import Crop, Manifest
from aa_detectron.consistency.exchange.prediction_files import instances_file
from aa_detectron.consistency.exchange.scoring import score_predictions
from aa_detectron.consistency.shifts import Position
from aa_detectron.consistency.sources.images import ImageItem, read_image

SIZE = 480, 640
MASKS = 20
FILES = 50
"""Number of different images on disk; they are read again and again."""
NOTES = (
    f"Images of {SIZE[0]} x {SIZE[1]} with a pair each, {MASKS} ellipses on every crop, all with "
    "masks. 'function' is evaluate_consistency with a model that has the masks ready; 'files' is "
    "aa-consistency score with COCO results, whose reading is included. Seconds are of scoring "
    "alone, without reading images and without the model. 'reading' reads the two crops of every "
    "pair from PNG. Peaks include all imports; 'start' has nothing but these."
)


def ellipses(image: int) -> np.ndarray:
    """Masks (MASKS, height, width) bool of an image."""
    draw = np.random.default_rng(image)
    masks = np.zeros((MASKS, *SIZE), bool)
    for mask in masks:
        height, width = draw.integers(10, 80, 2)
        y, x = draw.integers(0, SIZE[0] - 2 * height), draw.integers(0, SIZE[1] - 2 * width)
        rows, columns = np.ogrid[-height:height, -width:width]
        inside = (rows / height) ** 2 + (columns / width) ** 2 < 1
        mask[y : y + 2 * height, x : x + 2 * width] = inside
    return masks


def predict(image: int, offset: Position, size: tuple[int, int]) -> dict:
    """A prediction whose masks waver by a pixel."""
    y, x = map(int, offset)
    draw = np.random.default_rng((image, y, x))
    masks = ellipses(image % FILES)
    masks = np.roll(masks, int(draw.integers(-1, 2)), axis=2)
    masks = np.ascontiguousarray(masks[:, y : y + size[0], x : x + size[1]])
    boxes = mask_util.toBbox(encode(masks))
    boxes[:, 2:] += boxes[:, :2]
    scores = draw.uniform(0.5, 1, MASKS)
    return {"boxes": boxes, "scores": scores, "classes": np.arange(MASKS) % 5, "masks": masks}


def encode(masks: np.ndarray) -> list[dict]:
    return mask_util.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))


def photograph(number: int) -> np.ndarray:
    """An image that is smooth with some noise, as photographs are."""
    draw = np.random.default_rng(number)
    small = Image.fromarray(draw.integers(0, 256, (30, 40, 3), np.uint8))
    smooth = np.asarray(small.resize(SIZE[::-1], Image.Resampling.BICUBIC))
    noise = draw.normal(0, 3, smooth.shape)
    return (smooth + noise).clip(0, 255).astype(np.uint8)


class Clock:
    """The seconds of all calls of a function."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable, *args: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args)
        finally:
            self.seconds += time.perf_counter() - start


def score_function(folder: Path, images: int) -> float:
    """Seconds of evaluate_consistency, without reading images and without the model."""
    clock, seen = Clock(), iter(number for number in range(images) for _ in range(2))

    def model(crops: list[np.ndarray], offsets: list[Position]) -> list[dict]:
        return [
            clock.timed(predict, next(seen), offset, crop.shape[:2])
            for crop, offset in zip(crops, offsets, strict=True)
        ]

    vars(model)["needs_offsets"] = True
    items = (
        ImageItem(n, partial(clock.timed, read_image, folder / f"{n % FILES}.png"))
        for n in range(images)
    )
    start = time.perf_counter()
    result = evaluate_consistency(model, items, progress=False)
    assert len(result.scores["consistency_segm"]) and len(result.records) == images
    return time.perf_counter() - start - clock.seconds


def score_files(folder: Path, images: int) -> float:
    """Seconds of scoring files of predictions."""
    start = time.perf_counter()
    predictions = instances_file(folder / f"results_{images}.json")
    result = score_predictions(folder / f"manifest_{images}.json", predictions)
    assert len(result.scores["consistency_segm"]) and len(result.records) == images
    return time.perf_counter() - start


def read_crops(folder: Path, images: int) -> float:
    """Seconds of reading the two crops of every pair."""
    start = time.perf_counter()
    for number in range(2 * images):
        read_image(folder / "crops" / f"{number % (2 * FILES)}.png")
    return time.perf_counter() - start


def start(folder: Path, images: int) -> float:
    return 0.0


MEASURED = {
    "start": start,
    "reading": read_crops,
    "function": score_function,
    "files": score_files,
}


def write_inputs(folder: Path, counts: list[int]) -> None:
    """Writes images, crops, manifests and predictions."""
    (folder / "crops").mkdir()
    for number in range(FILES):
        image = photograph(number)
        Image.fromarray(image).save(folder / f"{number}.png")
        for crop in range(2):
            path = folder / "crops" / f"{2 * number + crop}.png"
            Image.fromarray(image[crop : crop + SIZE[0] - 32, : SIZE[1] - 32]).save(path)
    for count in counts:
        _write_predictions(folder, count)


def _write_predictions(folder: Path, images: int) -> None:
    manifest = Manifest({"kind": "pairs"}, {}, [])
    results: list[dict] = []
    blank = np.zeros((*SIZE, 3), np.uint8)
    items = (ImageItem(number, lambda: blank) for number in range(images))
    for group in make_groups(items, PairGroups().__call__):
        for offset in (group.reference, *group.others.values()):
            key = len(manifest.crops) + 1
            manifest.crops[key] = Crop(f"{key}.png", group.item.image_id, offset, group.size)
            results += _results(key, predict(group.item.image_id, offset, group.size))
        manifest.pairs.append((key - 1, key, 0))
    (folder / f"manifest_{images}.json").write_text(json.dumps(manifest.to_dict()))
    (folder / f"results_{images}.json").write_text(json.dumps(results))


def _results(key: int, found: dict) -> Iterator[dict]:
    rles = encode(found["masks"])
    columns = found["scores"].tolist(), found["classes"].tolist(), rles
    for score, category, rle in zip(*columns, strict=True):
        mask = {"size": rle["size"], "counts": rle["counts"].decode()}
        yield {"image_id": key, "category_id": category, "score": score, "segmentation": mask}


def peak_of_process() -> float:
    """Peak of the resident set in MB, with imports; ru_maxrss would include the parent's peak."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024 / 1e6


def measure_alone(name: str, folder: Path, images: int) -> dict:
    """A row, from a process of its own."""
    words = [sys.executable, __file__, "--measure", name, "--folder", str(folder)]
    done = subprocess.run([*words, "--images", str(images)], check=True, stdout=subprocess.PIPE)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    per_pair = 1000 * seconds / images
    return {"": name, "images": images, "seconds": seconds, "ms/pair": per_pair, "peak MB": peak}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--measure", choices=MEASURED, help="used by the script itself")
    parser.add_argument("--folder", type=Path, help="used by the script itself")


def main() -> None:
    args = parse_arguments(__doc__.splitlines()[0], add_options)
    if args.measure:
        seconds = MEASURED[args.measure](args.folder, args.images[0])
        print(json.dumps([seconds, peak_of_process()]))
        return
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name), args.images)
        rows = [
            measure_alone(what, Path(name), images) for images in args.images for what in MEASURED
        ]
    write(args, "Scoring the predictions of any model", rows, NOTES)


if __name__ == "__main__":
    main()
