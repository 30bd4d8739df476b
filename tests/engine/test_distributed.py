"""Training and testing in two processes, through the real command."""

import json
import os
import subprocess
import sys

import pytest
import torch
from helpers import CONFIGS, DEMO_CONFIG, ROOT, make_small_shapes, small_options

from aa_detectron.data.datasets.builtin import register_all_shapes
from aa_detectron.engine.launch import evaluate, load_config
from aa_detectron.engine.trainer import Trainer


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    make_small_shapes(root)
    yield root
    register_all_shapes("datasets")


def train_on_two(shapes, output, config_file, *opts):
    command = [sys.executable, "tools/train_net.py", "--num-gpus", "2", "--dist-url", "auto"]
    return subprocess.run(
        [*command, "--config-file", config_file, *small_options(output), *opts],
        cwd=ROOT,
        env=os.environ | {"DETECTRON2_DATASETS": str(shapes), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "config",
    [
        "Shapes-InstanceSegmentation/demo_adaptive",
        "Shapes-SemanticSegmentation/deeplab_v3_plus_blur",
    ],
)
def test_two_processes_train_and_test_one_network(shapes, tmp_path, config):
    """DDP complains of parameters without a gradient in the second iteration, so there are two."""
    path = CONFIGS / f"{config}.yaml"
    done = train_on_two(shapes, tmp_path, path)
    assert done.returncode == 0, done.stderr
    register_all_shapes(str(shapes))
    lines = (tmp_path / "metrics.json").read_text().splitlines()
    scores = json.loads(lines[-1])
    cfg = load_config(
        str(path),
        [*small_options(tmp_path / "again"), "MODEL.WEIGHTS", str(tmp_path / "model_final.pth")],
        eval_only=True,
    )
    # What one process with the checkpoint measures: BN's statistics were the same in both.
    results = evaluate(cfg)
    for task, metrics in results.items():
        for name, value in metrics.items():
            key = f"{task}/{name}"
            if key in scores and scores[key] is not None and value == value:
                assert scores[key] == pytest.approx(value, abs=1e-3), key


def test_parameters_that_no_loss_reaches_are_named(shapes, tmp_path):
    done = train_on_two(
        shapes,
        tmp_path,
        DEMO_CONFIG,
        "SOLVER.FIND_UNUSED_PARAMETERS",
        "False",
        "SOLVER.MAX_ITER",
        "3",
    )
    assert done.returncode != 0
    (line, *_) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "SOLVER.FIND_UNUSED_PARAMETERS" in line and "fpn_output5" in line
    assert "Traceback" not in done.stderr


def test_one_process_needs_no_wrapper(shapes, tmp_path):
    register_all_shapes(str(shapes))
    trainer = Trainer(load_config(str(DEMO_CONFIG), small_options(tmp_path)))
    assert not isinstance(trainer.model, torch.nn.parallel.DistributedDataParallel)
