"""A config of every family trains for two iterations, on one process and on two."""

import json
import math
import os
import subprocess
import sys

import pytest
from helpers import CONFIGS, ROOT, make_small_shapes
from train_families import FAMILIES

from aa_detectron.data.datasets.builtin import register_all_shapes
from aa_detectron.data.datasets.shapes import Options, make_shapes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    make_small_shapes(root, train=8)
    options = Options(train=8, val=1, height=64, width=64, task="classification")
    make_shapes(str(root), options)
    yield root
    register_all_shapes("datasets")


@pytest.mark.parametrize("processes", [1, 2])
def test_families_train(data, tmp_path, processes):
    script = ROOT / "tests" / "train_families.py"
    done = subprocess.run(
        [sys.executable, script, str(tmp_path), str(processes)],
        cwd=ROOT,
        env=os.environ | {"DETECTRON2_DATASETS": str(data), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for name in FAMILIES:
        last = json.loads((tmp_path / name / "metrics.json").read_text().splitlines()[-1])
        assert last["iteration"] == 1 and math.isfinite(last["total_loss"]), name
        assert (tmp_path / name / "model_final.pth").is_file(), name


def test_every_family_is_there():
    families = {path.name for path in CONFIGS.iterdir() if path.is_dir()} - {
        "common",
        "comparisons",
    }
    assert {name.split("/")[0] for name in FAMILIES} == families
