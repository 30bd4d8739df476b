#!/usr/bin/env python
"""Time and memory of a consistency evaluation of many images, beside the model.

Every measurement is a process of its own.
"""

import argparse
import json
import multiprocessing
import re
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from measuring import parse_arguments, write
from networks import get_config
from PIL import Image
from scoring import FILES, MASKS, SIZE, peak_of_process, photograph, predict
from torch import nn

from aa_detectron.data.pairs import ShiftedPairMapper
from aa_detectron.data.windows import ShiftedWindowMapper
from aa_detectron.evaluation.consistency import ConsistencyOptions, measure_consistency

NOTES = (
    f"Pairs from images of {SIZE[0]} x {SIZE[1]}, which are PNG files, with {MASKS} masks on every "
    "crop. The crops are resized as for COCO, the shorter side to 800 pixels. 'R-50-FPN' is Mask "
    "R-CNN with adaptive filters and random weights, on a few pairs; the other rows have a model "
    "that returns ellipses. 'model' is the median time of the model's calls, one pair each; "
    "'outside' is the rest of the evaluation: reading, cutting, resizing, matching, scores, the "
    "file of records. 'percent outside' puts the calls of R-50-FPN in place of the ellipses. "
    "Workers of the data loader read ahead during the model's calls, which are short here. 'peak "
    "MB' is the resident set of the main process with imports; 'workers MB' is the greatest sum of "
    "the memory that no other process shares with a worker."
)


class Ellipses(nn.Module):
    """A model that returns the masks of :func:`scoring.predict` for the crops of the images."""

    def forward(self, inputs: list[dict]) -> list[dict]:
        return [{"instances": _instances(item)} for item in inputs]


def _instances(item: dict) -> Instances:
    size, pair = (item["height"], item["width"]), item["pair"]
    offset = pair["offsets"][0 if pair["first"] else 1]
    found = predict(int(Path(item["file_name"]).stem), offset, size)
    tensors = {key: torch.as_tensor(value) for key, value in found.items()}
    boxes = Boxes(tensors["boxes"].float())
    return Instances(
        size,
        pred_boxes=boxes,
        scores=tensors["scores"],
        pred_classes=tensors["classes"],
        pred_masks=tensors["masks"],
    )


class Clock(nn.Module):
    """Measures the times of a model's calls, in seconds, and the memory of the workers, in MB."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model, self.workers = model, 0.0
        self.seconds: list[float] = []

    def forward(self, inputs: list[dict]) -> list[dict]:
        start = time.perf_counter()
        outputs = self.model(inputs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.workers = max(self.workers, sum(map(_own_memory, multiprocessing.active_children())))
        self.seconds.append(time.perf_counter() - start)
        return outputs


def _own_memory(process: BaseProcess) -> float:
    """Memory in MB that a process shares with no other."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return sum(map(int, re.findall(r"Private_\w+:\s+(\d+)", text))) * 1024 / 1e6


def evaluate(network: str, folder: Path, args: argparse.Namespace) -> dict:
    """Evaluates the pairs of a folder; returns times, and peaks of memory in MB."""
    cfg = get_config("adaptive", args.device)
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    cfg.TEST.DETECTIONS_PER_IMAGE = MASKS
    torch.manual_seed(0)
    clock = Clock(Ellipses() if network == "ellipses" else build_model(cfg).eval())
    images = len(list(folder.iterdir()))
    start = time.perf_counter()
    measure_consistency(
        clock,
        str(folder),
        ConsistencyOptions(score_thresh=0.0, pairs_per_image=args.pairs // images),
        pair_mapper=ShiftedPairMapper(cfg),
        window_mapper=ShiftedWindowMapper(cfg),
        num_workers=args.workers[0],
        output_dir=str(folder.parent),
    )
    outside = time.perf_counter() - start - sum(clock.seconds)
    return {
        "model, ms/pair": 1000 * statistics.median(clock.seconds),
        "outside, ms/pair": 1000 * outside / args.pairs,
        "peak MB": peak_of_process(),
        "workers MB": clock.workers,
    }


def measure_alone(network: str, folder: Path, pairs: int, workers: int, threads: int) -> dict:
    """A row, from a process of its own."""
    options = {"--measure": network, "--folder": folder, "--pairs": pairs}
    options |= {"--workers": workers, "--threads": threads}
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    row = json.loads(done.stdout.splitlines()[-1])
    return {"": network, "workers": workers, "pairs": pairs, **row}


def write_images(folder: Path, number: int) -> Path:
    folder.mkdir()
    for image in range(number):
        Image.fromarray(photograph(image)).save(folder / f"{image}.png")
    return folder


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=2000, help=f"a multiple of {FILES}")
    parser.add_argument("--sample", type=int, default=5, help="pairs for R-50-FPN")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--measure", choices=["ellipses", "R-50-FPN"], help="used by the script")
    parser.add_argument("--folder", type=Path, help="used by the script")


def main() -> None:
    args = parse_arguments(__doc__.splitlines()[0], add_options)
    if args.measure:
        print(json.dumps(evaluate(args.measure, args.folder, args)))
        return
    with tempfile.TemporaryDirectory() as name:
        few = write_images(Path(name) / "few", args.sample)
        many = write_images(Path(name) / "many", FILES)
        plans = [("R-50-FPN", few, args.sample, 0)]
        plans += [("ellipses", many, args.pairs, workers) for workers in args.workers]
        rows = [measure_alone(*plan, args.threads) for plan in plans]
    model = rows[0]["model, ms/pair"]
    for row in rows:
        outside = row["outside, ms/pair"]
        row["percent outside"] = 100 * outside / (outside + model)
    write(args, "A consistency evaluation of many images", rows, NOTES)


if __name__ == "__main__":
    main()
