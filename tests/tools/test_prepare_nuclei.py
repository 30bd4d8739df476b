"""The real command on a small tree: the lists of ids, and what is missing."""

import subprocess
import sys

from helpers import ROOT
from PIL import Image


def run(*arguments):
    command = [sys.executable, "tools/prepare_nuclei.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_writes_the_lists(tmp_path):
    for number in range(5):
        folder = tmp_path / "nuclei" / "stage1_train" / str(number) / "images"
        folder.mkdir(parents=True)
        Image.new("RGBA", (20, 20), (50 * number,) * 4).save(folder / f"{number}.png")
    done = run("--root", tmp_path, "--split-to", tmp_path)
    assert done.returncode == 0 and "5/5" in done.stderr
    lists = [(tmp_path / f"nuclei_{split}.txt").read_text().split() for split in ("train", "val")]
    assert sorted([*lists[0], *lists[1]]) == ["0", "1", "2", "3", "4"]


def test_missing_images_are_one_line(tmp_path):
    missing = run("--root", tmp_path)
    assert missing.returncode == 1 and missing.stdout == ""
    (line,) = missing.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/nuclei/stage1_train/")
    assert "542 of 542 folders are missing" in line
    no_split = run("--root", tmp_path, "--split-to", tmp_path)
    assert no_split.returncode == 1 and no_split.stdout == ""
    assert no_split.stderr == (
        f"error: {tmp_path}/nuclei/stage1_train: cannot be read (No such file or directory)\n"
    )
