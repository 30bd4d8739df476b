"""The library imports nothing heavy, and the core imports no experiments."""

import ast
import subprocess
import sys

import pytest
from helpers import ROOT

PACKAGE = ROOT / "aa_detectron"
FORBIDDEN = ("torch", "torchvision", "detectron2", "fvcore", "matplotlib")

SCRIPT = """
import importlib, pkgutil, sys

FORBIDDEN = {forbidden!r}

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Block())
import numpy as np
import aa_detectron.consistency as package
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
from aa_detectron.consistency.adapters.predictions import read_prediction
from aa_detectron.consistency.instances import pair_record, score_pairs
crop = {{"boxes": np.array([[2.0, 2, 8, 9]]), "scores": np.array([0.9]), "classes": np.array([1])}}
crop["masks"] = np.zeros((1, 12, 12), bool)
crop["masks"][0, 2:9, 2:8] = True
crop = read_prediction(crop, (12, 12))
record = pair_record("a", 0, ((0, 0), (0, 0)), (12, 12), crop, crop)
print(score_pairs([record], "segm")["mAISC"], score_pairs([record], "bbox")["mAISC"])
assert not FORBIDDEN & sys.modules.keys()
"""


def test_works_without_torch_and_detectron2():
    script = SCRIPT.format(forbidden=set(FORBIDDEN))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["100.0", "100.0"]


def imported(path):
    """Absolute names of the modules that a file imports, also inside functions."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def files(folder):
    return sorted(p.relative_to(PACKAGE).as_posix() for p in (PACKAGE / folder).rglob("*.py"))


@pytest.mark.parametrize("file", files("consistency"))
def test_imports_nothing_heavy(file):
    roots = {name.partition(".")[0] for name in imported(PACKAGE / file)}
    assert not roots & set(FORBIDDEN)


CORE = [f for f in files(".") if not f.startswith("experiments/")]


def test_only_the_command_plot_names_a_module_of_experiments():
    """It imports the module by this name when it runs."""
    texts = {
        file: node.value
        for file in CORE
        for node in ast.walk(ast.parse((PACKAGE / file).read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value.startswith("aa_detectron.experiments")
    }
    assert texts == {"consistency/commands/plot.py": "aa_detectron.experiments.figures.curves"}


@pytest.mark.parametrize("file", CORE)
def test_the_core_does_not_import_experiments(file):
    forbidden = "aa_detectron.experiments"
    names = set(imported(PACKAGE / file))
    assert not {n for n in names if n == forbidden or n.startswith(f"{forbidden}.")}
