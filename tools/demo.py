#!/usr/bin/env python
"""Shapes, training, evaluation and pictures in one go; what an earlier run has done is kept."""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser
from tabulate import tabulate

from aa_detectron import compat
from aa_detectron.data.datasets.shapes import Options, make_shapes
from aa_detectron.engine import AACheckpointer, Trainer
from aa_detectron.engine.launch import load_config, setup
from aa_detectron.engine.pictures import choose_records, draw_pairs
from aa_detectron.engine.trainer import inference_folder
from aa_detectron.errors import InputError, exit_on_bad_input
from aa_detectron.utils.files import write_json

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "Shapes-InstanceSegmentation" / "demo_adaptive.yaml"
SHAPES = Options(train=2000, val=250)
PICTURES = 8


def parse_arguments() -> argparse.Namespace:
    """Detectron2's arguments, with the demo's config and resuming for defaults."""
    parser = default_argument_parser(epilog=__doc__)
    parser.set_defaults(config_file=str(CONFIG), resume=True)
    return parser.parse_args()


def check_same_config(cfg: CfgNode) -> None:
    """Refuses to go on with what another config has left behind."""
    kept = Path(cfg.OUTPUT_DIR, "config.yaml")
    if kept.is_file() and kept.read_text() != cfg.dump():
        raise InputError(f"{kept}: a run with another config; remove its results: make clean")


def train(cfg: CfgNode) -> dict:
    """Trains, or goes on training, and tests; the report of the whole run."""
    start = time.perf_counter()
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    results = trainer.train()
    return {
        "results": results,
        "iterations": cfg.SOLVER.MAX_ITER,
        "resumed_at": trainer.start_iter,
        "seconds": round(time.perf_counter() - start, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "detectron2": compat.describe_build(),
        "config": cfg.dump(),
    }


def draw(cfg: CfgNode, folder: Path) -> list[str]:
    name = cfg.DATASETS.TEST[0]
    records = json.loads(Path(inference_folder(cfg), f"consistency_{name}.json").read_text())
    model = Trainer.build_model(cfg)
    AACheckpointer(model, strict=True).load(os.path.join(cfg.OUTPUT_DIR, "model_final.pth"))
    return draw_pairs(cfg, model, name, choose_records(records["pairs"], PICTURES), str(folder))


def table(results: dict) -> str:
    rows = []
    for task, kind in (("bbox", "box"), ("segm", "mask")):
        consistency = results[f"consistency_{task}"]
        interval = "{low:.1f} to {high:.1f}".format(**consistency)
        rows.append([kind, results[task]["AP"], consistency["mAISC"], interval,
                     consistency["symmetric"]])  # fmt: skip
    headers = ["", "AP", "mAISC", "95 % interval", "symmetric"]
    return tabulate(rows, headers, "github", floatfmt=".1f")


def main() -> None:
    args = parse_arguments()
    cfg = load_config(args)
    check_same_config(cfg)
    make_shapes(
        os.getenv("DETECTRON2_DATASETS", "datasets"), SHAPES, os.cpu_count(), progress=True
    )
    folder = Path(cfg.OUTPUT_DIR).parent
    metrics, pictures = folder / "metrics.json", folder / "pairs"
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
