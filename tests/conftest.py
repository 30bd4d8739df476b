import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded():
    """The same random inputs in every run, whatever the order of the tests."""
    torch.manual_seed(0)
    np.random.seed(0)
