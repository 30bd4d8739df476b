"""The real command."""

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image


def run(*arguments):
    command = [sys.executable, "tools/plot_drop_curve.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def file(tmp_path):
    point = {"length": 2.5, "consistency": 90.0, "low": 85.0, "high": None, "pairs": 7}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"drop_curve": [point, point | {"length": 6.0, "low": 80.0}]}))
    return path


def test_several_models_in_one_picture(file, tmp_path):
    done = run("--output", tmp_path / "out" / "drop.png", f"plain={file}", f"blur={file}")
    assert done.returncode == 0, done.stderr
    assert np.asarray(Image.open(tmp_path / "out" / "drop.png")).std() > 5


@pytest.mark.parametrize("argument", ["{}", "a=missing.json", "a={}.broken"])
def test_refused_in_one_line(file, tmp_path, argument):
    (tmp_path / "a.json.broken").write_text('{"pairs": []}')
    refused = run("--output", tmp_path / "drop.png", argument.format(file))
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ") and len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "drop.png").exists()
