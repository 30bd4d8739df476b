"""The real command."""

import subprocess
import sys

import numpy as np
import pytest
from helpers import DEMO_CONFIG, ROOT
from PIL import Image


def run(*arguments):
    command = [sys.executable, "tools/plot_figures.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_aliasing(tmp_path):
    Image.fromarray(np.full((16, 16, 3), 99, np.uint8)).save(tmp_path / "grey.png")
    done = run("aliasing", "--images", tmp_path / "grey.png", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert [line.split("/")[-1] for line in done.stdout.splitlines()] == [
        "aliasing_grey.png",
        "aliasing.json",
    ]


@pytest.mark.parametrize(
    "models",
    [
        [["a", DEMO_CONFIG, "missing.pth"]],
        [["a", "missing.yaml", "missing.pth"]],
    ],
)
def test_refused_in_one_line(models, tmp_path):
    named = [part for model in models for part in ("--model", *model)]
    refused = run("window", "--images", "coffee", "--output", tmp_path / "out", *named)
    assert refused.returncode == 1
    last = refused.stderr.splitlines()[-1]
    assert last.startswith("error: ") and "missing" in last and "Traceback" not in refused.stderr
    assert not (tmp_path / "out").exists()
