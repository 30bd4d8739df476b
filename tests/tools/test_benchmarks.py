import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from aa_detectron.layers import AdaptiveBlurPool2d

BENCHMARKS = Path(__file__).parents[2] / "tools" / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def run(tmp_path, name, *options):
    output = tmp_path / "result"
    command = [sys.executable, BENCHMARKS / name, *options, "--repeats", "2", "--warmup", "0"]
    command.append("--no-memory")
    subprocess.run([*command, "--output", output], check=True, capture_output=True)
    assert output.with_suffix(".md").read_text().startswith("# ")
    return json.loads(output.with_suffix(".json").read_text())


@pytest.mark.parametrize("k, groups", [(3, 2), (5, 4)])
def test_published_form_is_the_same_layer(k, groups, load):
    """With the softmax over all groups, in eval mode, and from the same weights."""
    theirs = load("published").PublishedAdaptiveBlurPool2d(8, k, groups=groups).eval()
    ours = AdaptiveBlurPool2d(8, k, groups=groups, softmax="all", init="kaiming").eval()
    ours.predictor.weight.data.copy_(theirs.conv.weight)
    for norm in (theirs.bn, ours.predictor.norm):
        torch.manual_seed(0)
        norm.weight.data.uniform_(1, 3)
        norm.bias.data.uniform_(-1, 1)
        norm.running_mean.uniform_(-1, 1)
    x = torch.randn(2, 8, 9, 12)
    torch.testing.assert_close(theirs(x), ours(x))


def test_layer(tmp_path):
    report = run(tmp_path, "layer.py", "--shapes", "1x16x12x14", "--device", "cpu")
    assert report["command"].startswith("python ") and report["commit"]
    times = {(row["pass"], row[""]): row for row in report["rows"]}
    for row in times.values():
        assert row["median"] > 0
    ours, theirs = times["forward", "adaptive"], times["forward", "published"]
    assert theirs["times ours"] == theirs["median"] / ours["median"]
    assert ("both", "published") in times


def test_all_tables_by_one_command(tmp_path, monkeypatch, load, capsys):
    """Scripts and options exist; a table that fails is named at the end, after all others."""
    run_all = load("run_all")
    tables = run_all.TABLES | run_all.ON_CPU | run_all.ON_CUDA
    common = (BENCHMARKS / "measuring.py").read_text()
    for script, *options in tables.values():
        text = (BENCHMARKS / script).read_text() + common
        assert all(f'"{option}"' in text for option in options if option.startswith("--")), script
    called = []
    monkeypatch.setattr(run_all, "_run", lambda name, _: called.append(name) or name != "layer")
    monkeypatch.setattr(sys, "argv", ["run_all.py", "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match="failed: layer$"):
        run_all.main()
    assert called[:2] == ["check of the kernels", "layer"] and set(called[1:]) <= set(tables)


def test_load(load):
    """The processes run inside the block only."""
    code = "from busy import load; import multiprocessing as m\n"
    code += "with load(2): print(len(m.active_children()))\n"
    code += "print(len(m.active_children()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, timeout=100
    )
    assert done.stdout == b"2\n0\n"


def test_peak_memory_counts_what_is_taken_at_once(load):
    peak = load("measuring").peak_memory(make_additions, 64, device="cpu")
    assert peak == pytest.approx(128, abs=4)


def make_additions(mib):
    """Takes twice ``mib`` MiB, then once more what is free again."""
    x = torch.ones(mib * 2**18)

    def take():
        y = x + 1
        z = y + 1
        del y, z
        x.clone()

    return take


def test_intervals(tmp_path):
    """Made-up records of four models, whose second measurement differs by chance alone."""
    rng = np.random.default_rng(0)
    files = {"--records": [], "--others": []}
    hardness = rng.integers(20, 60, 200)
    for option, paths in files.items():
        for model in range(4):
            equal = np.clip(hardness + rng.integers(-9, 10, 200), 0, 100).tolist()
            place = {"pair": 0, "offsets": [[0, 0], [0, 1]], "size": [10, 11]}
            pairs = [
                {"image_id": i, **place, "sem_seg": {"pixels": 100, "equal": e, "per_class": {}}}
                for i, e in enumerate(equal)
            ]
            paths.append(str(tmp_path / f"{option}{model}.json"))
            Path(paths[-1]).write_text(json.dumps({"pairs": pairs}))
    options = [text for option, paths in files.items() for text in (option, *paths)]
    command = [sys.executable, BENCHMARKS / "intervals.py", *options, "--metrics", "mASSC"]
    done = subprocess.run([*command, "--trials", "150"], capture_output=True, text=True, check=True)
    rows = [line.split("|") for line in done.stdout.splitlines()[2:]]
    held = {float(planted): float(share) for _, _, _, planted, share, _ in rows}
    assert held[0] > 90 and held[3] < 10
    refused = subprocess.run(command[:3] + command[4:], capture_output=True, text=True)
    assert refused.returncode == 1 and "must be as many" in refused.stderr


def test_antialias_networks(tmp_path):
    report = run(tmp_path, "antialias_networks.py", "--networks", "torchvision/squeezenet1_1")
    (row,) = report["rows"]
    assert row["places"] == "4 of 4" and row["names"] and row["sizes"] and row["gradient"]
    assert 0 < row["blur"] < row["plain"] and 0 < row["adaptive"] < row["plain"]


def test_many_images(tmp_path, load):
    """The evaluation of a model that returns ellipses compares all of them."""
    many_images = load("many_images")
    folder = many_images.write_images(tmp_path / "images", 1)
    args = argparse.Namespace(device="cpu", pairs=2, workers=[0])
    row = many_images.evaluate("ellipses", folder, args)
    assert row["model, ms/pair"] > 0 and row["outside, ms/pair"] > 0 and row["peak MB"] > 100
    (path,) = tmp_path.glob("*.json")
    pairs = json.loads(path.read_text())["pairs"]
    assert len(pairs) == 2
    sections = [pair["segm"][side] for pair in pairs for side in ("first", "second")]
    assert all(len(instances) == many_images.MASKS for instances in sections)


def test_busy(tmp_path):
    options = ["--shapes", "1x16x12x14", "--image", "64", "64", "--load", "1"]
    report = run(tmp_path, "busy.py", *options)
    names = {row[""] for row in report["rows"]}
    assert {"adaptive, 1x16x12x14", "adaptive, training step"} < names
    for row in report["rows"]:
        assert row["busy / quiet"] == row["busy"] / row["quiet"]
    assert "beside 1 other" in report["notes"]


def test_pieces_are_left_out(load):
    pieces = load("pieces")
    layer, x = AdaptiveBlurPool2d(8, groups=2), torch.randn(1, 8, 8, 8, requires_grad=True)
    nodes, saves, pools = {}, {}, {}
    for name, without in pieces.WITHOUT.items():
        with without():
            nodes[name] = type(layer(x).grad_fn).__name__
            saves[name] = pieces.padded_conv._saves_memory(x, layer.predictor.weight)
            pools[name] = pieces.max_pool._is_slow(x.detach())
    assert [name for name, node in nodes.items() if "Filter" not in node] == ["autograd"]
    assert [name for name in saves if not saves[name]] == ["padded copies"]
    assert [name for name in pools if not pools[name]] == ["PyTorch's pool"]


def test_pieces(tmp_path):
    report = run(tmp_path, "pieces.py", "--image", "64", "64")
    rows = [row for row in report["rows"] if row["task"] == "training step"]
    pieces = ["complete", "autograd", "padded copies", "PyTorch's pool"]
    assert [row[""] for row in rows] == pieces
    assert rows[0]["/ complete"] == 1
