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
    assert list(ours["weights"]) == list(theirs["weights"])
    assert ours["trainable"] == theirs["trainable"]
    different = [
        key
        for key, value in theirs["weights"].items()
        # Detectron2's FrozenBN starts with 1 - eps, torchvision's with 1.
        if not torch.allclose(ours["weights"][key], value, rtol=0, atol=1.1e-5 * ("var" in key))
    ]
    assert not different
    assert ours["outputs"].keys() == theirs["outputs"].keys()
    torch.testing.assert_close(ours["outputs"], theirs["outputs"], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours["gradient"], theirs["gradient"], rtol=1e-2, atol=1e-5)


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
