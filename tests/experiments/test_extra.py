"""Experiments are an extra, and say what is missing."""

import subprocess
import sys

import pytest
from helpers import ROOT, run_without


@pytest.mark.parametrize("module, distribution", [("skimage", "scikit-image")])
def test_missing_package_is_one_line_that_names_the_extra(module, distribution):
    code = f"import sys; sys.modules[{module!r}] = None; import aa_detectron.experiments.figures"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: aa_detectron.experiments needs {distribution}: "
        "pip install 'aa_detectron[experiments]'"
    )


COMPARE = """
from aa_detectron.experiments.comparison.cli import main

sys.argv = ["aa-compare", *{arguments!r}]
try:
    main()
except SystemExit as ended:
    print(ended.code)
"""


@pytest.mark.parametrize(
    "module, distribution",
    [
        ("jinja2", "jinja2"),
        ("matplotlib", "matplotlib"),
        ("numba", "numba"),
        ("skimage", "scikit-image"),
    ],
)
def test_compare_names_the_extra_in_one_line(module, distribution):
    code = COMPARE.format(arguments=["a=x", "--output", "y"])
    assert run_without([module], code) == (
        f"error: aa_detectron.experiments needs {distribution}: "
        "pip install 'aa_detectron[experiments]'\n"
    )


def test_compare_has_help_without_the_extra():
    code = COMPARE.format(arguments=["--help"])
    printed = run_without(["jinja2", "matplotlib", "numba", "skimage"], code)
    assert printed.startswith("usage: aa-compare") and printed.endswith("\n0\n")
