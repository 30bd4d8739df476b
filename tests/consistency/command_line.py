"""The command ``aa-consistency`` in the tests."""

import sys

import pytest
from helpers import run_without

from aa_detectron.consistency.cli import main


def command(words):
    """The command in a process that can import neither torch nor Detectron2."""
    words = ["aa-consistency", *map(str, words)]
    code = f"sys.argv = {words!r}\nfrom aa_detectron.consistency.cli import main\nmain()"
    return run_without(["torch", "torchvision", "detectron2", "fvcore", "matplotlib"], code)


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["aa-consistency", *map(str, words)])
    main()


def fails(monkeypatch, *words):
    with pytest.raises(SystemExit) as error:
        run(monkeypatch, *words)
    assert "\n" not in error.value.code
    return error.value.code
