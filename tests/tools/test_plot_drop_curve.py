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
    pairs = [
        {"image_id": i, "pair": 0, "offsets": [[0, 0], [0, i + 1]], "size": [12, 12]}
        | {"sem_seg": {"pixels": 9, "equal": 9 - i, "per_class": {}}}
        for i in range(9)
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"pairs": pairs}))
    return path


def test_several_models_in_one_picture(file, tmp_path):
    done = run("--output", tmp_path / "out" / "drop.png", f"plain={file}", f"blur={file}")
    assert done.returncode == 0, done.stderr
    assert np.asarray(Image.open(tmp_path / "out" / "drop.png")).std() > 5


@pytest.mark.parametrize("argument", ["{}", "a=missing.json", "a={}.broken", "a={0} a={0}"])
def test_refused_in_one_line(file, tmp_path, argument):
    (tmp_path / "a.json.broken").write_text('{"pairs": []}')
    refused = run("--output", tmp_path / "drop.png", *argument.format(file).split())
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ") and len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "drop.png").exists()
