import logging
import os

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when Triton is imported


@pytest.fixture(autouse=True)
def _own_logger_as_at_import():
    """A command that a test runs in this process leaves no handlers of its output folder."""
    yield
    package = logging.getLogger("aa_detectron")
    package.propagate = True
    for handler in list(package.handlers):
        package.removeHandler(handler)
        handler.close()
    logging.disable(logging.NOTSET)  # the tutorial switches warnings off


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _seeded():
    """The same random inputs in every run, whatever the order of the tests."""
    torch.manual_seed(0)
    np.random.seed(0)
