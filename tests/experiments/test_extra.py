"""Experiments are an extra: the core does without, and says what is missing."""

import ast
import subprocess
import sys

import pytest
from helpers import ROOT


def test_the_core_never_imports_experiments():
    for path in (ROOT / "aa_detectron").rglob("*.py"):
        if "experiments" in path.relative_to(ROOT / "aa_detectron").parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            names = [alias.name for alias in node.names]
            module = getattr(node, "module", None) or ""
            assert not any("experiments" in name for name in (module, *names)), path


@pytest.mark.parametrize("module, distribution", [("skimage", "scikit-image")])
def test_missing_package_is_one_line_that_names_the_extra(module, distribution):
    code = f"import sys; sys.modules[{module!r}] = None; import aa_detectron.experiments.figures"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: aa_detectron.experiments needs {distribution}: "
        "pip install 'aa_detectron[experiments]'"
    )
