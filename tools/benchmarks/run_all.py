#!/usr/bin/env python
"""Every table of results/ for the device at hand; on a CPU about an hour, on a GPU a few minutes.

The kernels are checked first. Tables that need a trained model are left out: consistency.py and
intervals.py.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch

FOLDER = Path(__file__).parent
SIZE = ("800", "1216")
"""Height and width of images on a GPU."""
TABLES = {
    "layer": ["layer.py"],
    "layer_k5": ["layer.py", "--kernel-size", "5"],
}
"""{name of the table: script and options}, for every device."""
ON_CPU = {
    "backbone": ["backbone.py"],
    "train_step_backbone": ["train_step.py"],
    "layer_one_thread": ["layer.py", "--threads", "1"],
    "pieces": ["pieces.py"],
    "busy": ["busy.py"],
    "busy_one_thread": ["busy.py", "--threads", "1"],
    "scoring": ["scoring.py", "--images", "200", "2000"],
    "many_images": ["many_images.py"],
    "antialias_networks": ["antialias_networks.py"],
}
# Smaller batches would measure how fast the CPU launches kernels.
ON_CUDA = {
    "layer_bfloat16": ["layer.py", "--dtype", "bfloat16"],
    "layer_channels_last": ["layer.py", "--dtype", "bfloat16", "--channels-last"],
    "train_step_mask_rcnn": ["train_step.py", "--network", "mask_rcnn", "--shape", "8", *SIZE],
}
for dtype in ("float32", "bfloat16", "float16"):
    suffix = "" if dtype == "float32" else f"_{dtype}"
    ON_CUDA |= {
        f"backbone{suffix}": ["backbone.py", "--dtype", dtype, "--shape", "8", "3", *SIZE],
        f"train_step_backbone{suffix}": ["train_step.py", "--dtype", dtype, "--shape", "8", *SIZE],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default=FOLDER / "results", type=Path, metavar="DIR")
    parser.add_argument("--only", nargs="+", metavar="TABLE", help="names of tables")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tables = TABLES | (ON_CUDA if device == "cuda" else ON_CPU)
    unknown = set(args.only or ()) - set(tables)
    if unknown:
        parser.error(f"--only: {sorted(unknown)[0]!r} must be one of {', '.join(tables)}")
    commands = {"check of the kernels": ["-m", "aa_detectron", "--check"]}
    for name in args.only or tables:
        script, *options = tables[name]
        output = args.output / f"{name}_{device}"
        commands[name] = [str(FOLDER / script), *options, "--output", str(output)]
    failed = [name for name, command in commands.items() if not _run(name, command)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _run(name: str, command: list[str]) -> bool:
    print(f"\n{name}", flush=True)
    return subprocess.run([sys.executable, *command]).returncode == 0


if __name__ == "__main__":
    main()
