#!/usr/bin/env python
"""Time of two checks of a COCO file with the size of COCO's train2017.

The file is synthetic: objects with polygons, and crowds in run-length encoding. "read" is json.load
alone, which Detectron2 does in any case.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tabulate import tabulate

from aa_detectron.data.datasets import coco_cache
from aa_detectron.data.datasets.coco_check import check_coco

SIDE = 640


def write_coco(path: Path, images: int, annotations: int, points: int) -> None:
    """Writes a well-formed file; ``points`` is the number of vertices of each polygon."""
    rng = np.random.default_rng(0)
    circle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    circle = np.stack([np.cos(circle), np.sin(circle)], axis=1)
    with open(path, "w", encoding="utf-8") as file:
        records = [
            {"id": i, "file_name": f"{i:012}.jpg", "height": SIDE, "width": SIDE}
            for i in range(images)
        ]
        names = [{"id": i, "name": f"class {i}"} for i in range(1, 81)]
        start = json.dumps({"images": records, "categories": names})
        file.write(start[:-1] + ', "annotations": [')
        for number in range(annotations):
            file.write(", " * (number > 0) + json.dumps(_annotation(number, images, circle, rng)))
        file.write("]}")


def _annotation(number: int, images: int, circle: np.ndarray, rng: np.random.Generator) -> dict:
    radius = float(rng.uniform(5, 60))
    center = rng.uniform(radius, SIDE - radius, 2)
    polygon = (center + radius * circle).round(2).ravel().tolist()
    x, y = (center - radius).round(2).tolist()
    is_crowd = number % 80 == 0
    runs = [SIDE * 10, *[5] * 400, SIDE * (SIDE - 10) - 2000]
    return {
        "id": number + 1,
        "image_id": number % images,
        "category_id": number % 80 + 1,
        "bbox": [x, y, round(2 * radius, 2), round(2 * radius, 2)],
        "area": round(3.14 * radius**2, 2),
        "iscrowd": int(is_crowd),
        "segmentation": {"size": [SIDE, SIDE], "counts": runs} if is_crowd else [polygon],
    }


def timed(function: Callable, *args: object) -> tuple[float, float]:
    """Wall-clock seconds and processor seconds of a call."""
    start = time.perf_counter(), time.process_time()
    function(*args)
    return time.perf_counter() - start[0], time.process_time() - start[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=118_287)
    parser.add_argument("--annotations", type=int, default=860_001)
    parser.add_argument("--points", type=int, default=22, help="number of vertices of each polygon")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        path = Path(folder, "coco.json")
        write_coco(path, args.images, args.annotations, args.points)
        time.sleep(coco_cache.MIN_AGE)
        with open(path, encoding="utf-8") as file:
            read = timed(json.load, file)
        rows: list[list] = [
            ["read", *read],
            *([n, *timed(check_coco, str(path))] for n in ("check", "check again")),
        ]
        size = path.stat().st_size / 2**20
    print(f"{args.images} images, {args.annotations} annotations, {size:.0f} MiB\n")
    print(tabulate(rows, ["", "seconds", "of the processor"], "github", floatfmt=".2f"))


if __name__ == "__main__":
    main()
