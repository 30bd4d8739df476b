"""Numba's cache may be broken or full: the loops are compiled anew."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

CODE = """
from aa_detectron.layers.kernels.cpu.compiled import compiled

@compiled
def double(x):
    return 2 * x

assert double(1.5) == 3
"""
FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"


def run(folder, code=CODE):
    script, cache = folder / "script.py", folder / "cache"
    if not script.exists() or script.read_text() != code:
        script.write_text(code)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    return {path: path.read_bytes() for path in cache.rglob("*double*")}


def test_no_room_for_the_cache(tmp_path):
    assert not run(tmp_path, FULL + CODE)


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_broken_cache_is_replaced(tmp_path, suffix):
    whole = run(tmp_path)
    assert {path.suffix for path in whole} == {".nbi", ".nbc"}
    for path in whole:
        if path.suffix == suffix:
            path.write_bytes(path.read_bytes()[:40])
    again = run(tmp_path)
    assert again.keys() == whole.keys() and all(len(again[p]) > 40 for p in whole)


def test_a_change_of_a_called_loops_file_compiles_again(tmp_path, monkeypatch):
    """The file of the calling loop, which is all that Numba compares, stays as it is."""
    whole = run(tmp_path)
    code = "from aa_detectron.layers.kernels.cpu import compiled; compiled.STAMP = 'changed'"
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    again = run(tmp_path)
    assert again.keys() == whole.keys()
    assert all(again[p] != whole[p] for p in whole if p.suffix == ".nbi")
