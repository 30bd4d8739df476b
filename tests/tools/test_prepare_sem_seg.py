"""The real command on a small tree."""

import subprocess
import sys

import numpy as np
from helpers import ROOT
from PIL import Image


def run(*arguments):
    command = [sys.executable, "tools/prepare_sem_seg.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_converts_once_and_names_what_is_broken(tmp_path):
    folder = tmp_path / "VOC2012"
    lists = folder / "ImageSets" / "Segmentation"
    for path in (lists, folder / "SegmentationClass"):
        path.mkdir(parents=True)
    (lists / "trainval.txt").write_text("a\nb\n")
    for name in "ab":
        labels = Image.fromarray(np.full((4, 5), 3, np.uint8), mode="P")
        labels.save(folder / "SegmentationClass" / f"{name}.png")
    done = run("voc", "--root", tmp_path, "--workers", 1)
    assert (done.returncode, done.stdout) == (0, "2 label maps, 2 of them new\n")
    assert "2/2" in done.stderr
    assert run("voc", "--root", tmp_path).stdout == "2 label maps, 0 of them new\n"
    (folder / "SegmentationClass_detectron2" / "b.png").unlink()
    (folder / "SegmentationClass" / "b.png").write_bytes(b"\x89PNG")
    broken = run("voc", "--root", tmp_path, "--workers", 2)
    assert broken.returncode == 1 and broken.stdout == ""
    assert broken.stderr.splitlines()[-1].startswith("error: ")
    assert "SegmentationClass/b.png: holds no label map" in broken.stderr


def test_missing_folder(tmp_path):
    missing = run("cityscapes", "--root", tmp_path)
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: ") and len(missing.stderr.splitlines()) == 1
