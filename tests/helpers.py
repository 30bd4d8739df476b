"""What several tests need: a small data set and a small config."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode, get_cfg

from aa_detectron import add_aa_config
from aa_detectron.consistency.adapters.predictions import read_prediction
from aa_detectron.consistency.instances import pair_record
from aa_detectron.consistency.shifts import Offset
from aa_detectron.data.datasets.builtin import register_all_shapes
from aa_detectron.data.datasets.shapes import Options, make_shapes
from aa_detectron.engine.launch import load_config

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
DEMO_CONFIG = CONFIGS / "Shapes-InstanceSegmentation" / "demo_adaptive.yaml"


def make_small_shapes(root: Path, train: int = 6, val: int = 4) -> None:
    """A few images of 64 x 64 as shapes_train and shapes_val."""
    make_shapes(str(root), Options(train=train, val=val, height=64, width=64))
    register_all_shapes(str(root))


def small_options(output: Path) -> list[str]:
    """Config options under which the demo's model trains and is tested in seconds."""
    return [
        "OUTPUT_DIR", str(output),
        "DATALOADER.NUM_WORKERS", "0",
        "INPUT.MIN_SIZE_TRAIN", "(64,)",
        "INPUT.MIN_SIZE_TEST", "64",
        "MODEL.DEVICE", "cpu",
        "SOLVER.IMS_PER_BATCH", "2",
        "SOLVER.MAX_ITER", "2",
        "TEST.CONSISTENCY.SCORE_THRESH", "0.0",
    ]  # fmt: skip


def small_config(output: Path, *options: str) -> CfgNode:
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.merge_from_file(str(DEMO_CONFIG))
    cfg.merge_from_list([*small_options(output), *options])
    return cfg


def config_of(args: argparse.Namespace) -> CfgNode:
    """The config of the arguments of tools/train_net.py."""
    return load_config(args.config_file, args.opts, eval_only=args.eval_only)


def read_pair_record(
    image_id: object,
    number: int,
    offsets: tuple[Offset, Offset],
    size: tuple[int, int],
    first: dict,
    second: dict,
    score_thresh: float = 0.5,
    **kwargs: Any,
) -> dict:
    """The record of a pair of outputs that are read first."""
    pair = [read_prediction(output, size, score_thresh) for output in (first, second)]
    return pair_record(image_id, number, offsets, size, *pair, **kwargs)


def run_without(packages: list[str], code: str) -> str:
    """Runs Python code in a process that cannot import some packages; returns what it prints."""
    blocked = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ImportError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
sys.path.insert(0, {str(ROOT / "tests")!r})
"""
    command = [sys.executable, "-c", blocked + code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
