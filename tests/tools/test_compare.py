"""The real command: trainings, SIGKILL, and what is refused."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import ROOT

from aa_detectron.data.datasets.shapes import Options, make_shapes

TEXT = """
title: Small
output: {output}
seeds: [1]
start:
  config: {configs}/resnet_R_18_plain.yaml
  output: {start}
  opts: {{SOLVER.MAX_ITER: 2, SOLVER.IMS_PER_BATCH: 4}}
opts:
  SOLVER.MAX_ITER: 6
  SOLVER.CHECKPOINT_PERIOD: 2
  SOLVER.IMS_PER_BATCH: 4
  SOLVER.BASE_LR: 0.01
  SOLVER.WARMUP_ITERS: 1
  TEST.CONSISTENCY.PAIRS_PER_BATCH: 4
variants:
  plain: {{config: {configs}/resnet_R_18_plain.yaml}}
  adaptive: {{config: {configs}/resnet_R_18_adaptive.yaml}}
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    size = {"train": 12, "val": 8, "height": 80, "width": 80}
    make_shapes(str(data), Options(task="classification", **size))
    return os.environ | {"DETECTRON2_DATASETS": str(data), "OMP_NUM_THREADS": "1"}


def write_plan(folder, start):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "comparison.yaml"
    configs = ROOT / "configs" / "Shapes-Classification"
    path.write_text(TEXT.format(output=folder / "out", start=start, configs=configs))
    return path


def compare(*arguments):
    return [sys.executable, str(ROOT / "tools/compare.py"), *map(str, arguments)]


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.02)


def test_killed_and_started_again_ends_in_the_same_table(environment, tmp_path):
    """SIGKILL hits the tool and the training in one seed, and the tool alone in the next."""
    start = tmp_path / "start"
    whole, broken = (write_plan(tmp_path / name, start) for name in ("whole", "broken"))
    undisturbed = subprocess.run(compare(whole), env=environment, capture_output=True, text=True)
    assert undisturbed.returncode == 0, undisturbed.stderr

    out = tmp_path / "broken" / "out"
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(compare(broken), **quiet)
    wait_for((out / "plain/seed_1/model_0000001.pth").exists, process)
    child = int((out / "plain/seed_1/.lock").read_text())
    process.kill()
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    process.wait()

    process = subprocess.Popen(compare(broken), **quiet)
    wait_for((out / "adaptive/seed_1/model_0000001.pth").exists, process)
    process.kill()
    process.wait()

    again = subprocess.run(compare(broken), env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    for name in ("table.md", "table.csv"):
        expected = (tmp_path / "whole" / "out" / name).read_bytes()
        assert (out / name).read_bytes() == expected
    assert (out / "report.html").stat().st_size > 10_000
    assert undisturbed.stdout.splitlines()[:8] == again.stdout.splitlines()[:8]


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["missing.yaml"], "missing.yaml"),
        (["a=missing"], "--output"),
        (["a=missing", "b=gone", "--output", "{}"], "missing/config.yaml"),
        (["{}/x.yaml", "{}/y.yaml"], "one comparison at a time"),
        (["{}/x.yaml", "--jobs", "0"], "--jobs"),
        (["{}/x.yaml", "--baselines", "a"], "--baselines"),
    ],
)
def test_refused_in_one_line(arguments, named, tmp_path):
    arguments = [argument.format(tmp_path) for argument in arguments]
    refused = subprocess.run(compare(*arguments), cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ") and len(refused.stderr.splitlines()) == 1
    assert named in refused.stderr
