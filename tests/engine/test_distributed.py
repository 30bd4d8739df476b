"""Training and testing in two processes, through the real command."""

import json
import os
import subprocess
import sys

import pytest
import torch
from helpers import CONFIGS, DEMO_CONFIG, ROOT, make_small_shapes, small_options

from aa_detectron.data.datasets.builtin import register_all_shapes
from aa_detectron.engine.distributed import unread
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


LEFT_OUT = """
import sys
import torch
from detectron2.engine import DefaultTrainer, defaults
from detectron2.utils import comm
from aa_detectron.engine.distributed import ddp_options, unused_parameters_named
from aa_detectron.config import add_aa_config
from detectron2.config import get_cfg

rank = int(sys.argv[1])
torch.distributed.init_process_group(
    "gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2
)
comm.create_local_process_group(2)
cfg = get_cfg()
add_aa_config(cfg)
model = torch.nn.ModuleDict({"used": torch.nn.Linear(1, 1), "left_out": torch.nn.Linear(1, 1)})
model.forward = model["used"].forward
with ddp_options(cfg):
    model = defaults.create_ddp_model(model, broadcast_buffers=False)
for _ in range(2):
    with unused_parameters_named(model):
        model(torch.ones(1, 1)).sum().backward()
"""


def test_parameters_that_no_loss_reaches_are_named(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", LEFT_OUT]
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "rendezvous")],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for rank in ranks:
        last = rank.communicate(timeout=120)[1].strip().splitlines()[-1]
        assert rank.returncode == 1
        assert "InputError: SOLVER.FIND_UNUSED_PARAMETERS is False, but must be True" in last
        assert "left_out.weight, left_out.bias" in last


def test_outputs_that_no_head_reads(shapes, tmp_path):
    register_all_shapes(str(shapes))
    cfg = load_config(str(DEMO_CONFIG), small_options(tmp_path))
    assert unread(Trainer.build_model(cfg)) == ["p5", "p6"]
    more = [
        "MODEL.RPN.IN_FEATURES",
        "['p2','p3','p5','p6']",
        "MODEL.ROI_HEADS.IN_FEATURES",
        "['p4']",
    ]
    more += ["MODEL.ANCHOR_GENERATOR.SIZES", "[[20],[40],[80],[99]]"]
    cfg = load_config(str(DEMO_CONFIG), [*small_options(tmp_path), *more])
    assert unread(Trainer.build_model(cfg)) == []
    classifier = CONFIGS / "Shapes-Classification" / "resnet_R_18_plain.yaml"
    assert unread(Trainer.build_model(load_config(str(classifier)))) == []


def test_one_process_needs_no_wrapper(shapes, tmp_path):
    register_all_shapes(str(shapes))
    trainer = Trainer(load_config(str(DEMO_CONFIG), small_options(tmp_path)))
    assert not isinstance(trainer.model, torch.nn.parallel.DistributedDataParallel)
