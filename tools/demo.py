#!/usr/bin/env python
"""Makes Shapes, trains, evaluates and draws pictures; finished steps are not repeated."""

import json
import math
import os
import platform
import time
from pathlib import Path

from aa_detectron import compat
from aa_detectron.data.datasets.shapes import Options, make_shapes
from aa_detectron.engine import Trainer
from aa_detectron.engine.launch import load_config, load_model, setup
from aa_detectron.errors import InputError, exit_on_bad_input
from aa_detectron.evaluation.build import inference_folder
from aa_detectron.evaluation.pair_evaluator import records_path
from aa_detectron.experiments.figures.pairs import choose_records, draw_pairs
from aa_detectron.utils.files import replacing, write_json

# Imported first: aa_detectron patches the installed Detectron2, and imports it without warnings.
# isort: split
import torch
from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "Shapes-InstanceSegmentation" / "demo_adaptive.yaml"
FOLDER = Path("output/demo")
SHAPES = Options(train=2000, val=250)
PICTURES = 8


def keep_config(cfg: CfgNode) -> None:
    """Writes the config beside the results.

    Raises:
        InputError: the folder holds the results of another config.
    """
    kept = FOLDER / "config.yaml"
    if not kept.is_file():
        with replacing(kept) as temporary:
            temporary.write_text(cfg.dump())
    elif kept.read_text() != cfg.dump():
        raise InputError(f"{FOLDER}: holds the results of another config; remove it: make clean")


def train(cfg: CfgNode) -> dict:
    """Trains, or continues a training, and tests; returns the report of the run."""
    start = time.perf_counter()
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    results = trainer.train()
    return {
        "results": results,
        "iterations": cfg.SOLVER.MAX_ITER,
        "started_at": trainer.start_iter,
        "seconds": round(time.perf_counter() - start, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "detectron2": compat.describe_build(),
    }


def draw(cfg: CfgNode, folder: Path) -> None:
    """Draws pictures of some pairs; the folder exists only once all pictures are drawn."""
    name = cfg.DATASETS.TEST[0]
    records = json.loads(Path(records_path(inference_folder(cfg), "instances", name)).read_text())
    _, model = load_model(str(CONFIG), os.path.join(cfg.OUTPUT_DIR, "model_final.pth"))
    unfinished = folder.with_name(f".{folder.name}")
    unfinished.mkdir(exist_ok=True)  # also if there are no pairs to draw
    draw_pairs(cfg, model, name, choose_records(records["pairs"], PICTURES), str(unfinished))
    unfinished.rename(folder)


def table(results: dict) -> str:
    """AP and consistency of boxes and masks; "nan" stands for unmeasured scores."""
    rows = []
    for task, kind in (("bbox", "box"), ("segm", "mask")):
        scores = {
            k: math.nan if v is None else v for k, v in results[f"consistency_{task}"].items()
        }
        interval = "{low:.1f} to {high:.1f}".format(**scores)
        rows.append([kind, results[task]["AP"], scores["mAISC"], interval, scores["symmetric"]])
    headers = ["", "AP", "mAISC", "95 % interval", "symmetric"]
    return tabulate(rows, headers, "github", floatfmt=".1f")


def main() -> None:
    args = default_argument_parser(epilog=__doc__).parse_args([])
    args.config_file = str(CONFIG)
    cfg = load_config(args.config_file, args.opts)
    keep_config(cfg)
    root = os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))
    make_shapes(root, SHAPES, os.cpu_count() or 1, progress=True)
    metrics, pictures = FOLDER / "metrics.json", FOLDER / "pairs"
    if not (metrics.is_file() and pictures.is_dir()):
        setup(args)
    if not metrics.is_file():
        write_json(metrics, train(cfg))
    if not pictures.is_dir():
        draw(cfg, pictures)
    print(table(json.loads(metrics.read_text())["results"]))
    print(f"All scores: {metrics}\nPictures:   {pictures}")


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
