"""Experiments are an extra, and say what is missing."""

import subprocess
import sys

import pytest
from helpers import ROOT


@pytest.mark.parametrize("module, distribution", [("skimage", "scikit-image")])
def test_missing_package_is_one_line_that_names_the_extra(module, distribution):
    code = f"import sys; sys.modules[{module!r}] = None; import aa_detectron.experiments.figures"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: aa_detectron.experiments needs {distribution}: "
        "pip install 'aa_detectron[experiments]'"
    )
