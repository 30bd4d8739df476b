"""The plain networks on our own bases, against the same on Detectron2's."""

import pytest
import torch
from helpers import run_without
from modeling.plain_networks import NETWORKS, described

BLOCKED = ["detectron2", "fvcore", "iopath", "yacs"]


@pytest.fixture(scope="module")
def without_detectron2(tmp_path_factory):
    path = tmp_path_factory.mktemp("without") / "described.pth"
    code = f"""
import sys, torch
from modeling.plain_networks import NETWORKS, described

torch.save({{name: described(name) for name in NETWORKS}}, {str(path)!r})
print(*(name for name in sys.modules if name.startswith("detectron2")))
"""
    assert run_without(BLOCKED, code).strip() == ""
    return torch.load(path)


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_the_network_on_detectron2(name, without_detectron2):
    """Names, order and random weights to the last bit; outputs and gradients."""
    ours, theirs = without_detectron2[name], described(name)
    weights = {key: value for key, value in theirs["weights"].items() if not is_count(key)}
    assert [key for key in ours["weights"] if not is_count(key)] == list(weights)
    assert all(torch.equal(ours["weights"][key], value) for key, value in weights.items())
    assert ours["trainable"] == theirs["trainable"]
    assert list(ours["outputs"]) == list(theirs["outputs"])
    torch.testing.assert_close(ours["outputs"], theirs["outputs"])
    torch.testing.assert_close(ours["gradient"], theirs["gradient"])


def is_count(name):
    """Detectron2's FrozenBN keeps BN's count, torchvision's does not; nothing depends on it."""
    return name.endswith("num_batches_tracked")


def test_networks_with_pytorch_alone():
    code = """
import torch
from aa_detectron.models import aa_resnet50

network = aa_resnet50(filter="adaptive")
network(torch.randn(2, 3, 64, 64)).sum().backward()
print(all(p.grad is not None for p in network.parameters()))
"""
    assert run_without([*BLOCKED, "torchvision", "numba"], code).strip() == "True"


def test_deformable_convs_need_detectron2():
    code = """
from aa_detectron.modeling.build import build_resnet

try:
    build_resnet(50, deform_on_per_stage=(False, True, True, True))
except ValueError as error:
    print(error)
"""
    assert run_without(BLOCKED, code).startswith("deform_on_per_stage is [False, True, True, True]")
