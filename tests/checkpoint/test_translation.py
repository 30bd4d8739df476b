"""Files with names of other libraries, in models that have these names or none of them."""

import pytest
import torch
import torchvision
from checkpoint.networks import randomise
from torch import nn

from aa_detectron.engine import AACheckpointer
from aa_detectron.errors import InputError
from aa_detectron.models import aa_resnet18


@pytest.fixture(scope="module")
def resnet18():
    return randomise(torchvision.models.resnet18())


@pytest.fixture
def path(resnet18, tmp_path):
    torch.save(resnet18.state_dict(), tmp_path / "r18.pth")
    return str(tmp_path / "r18.pth")


class Model(nn.Module):
    """A network of torchvision as the backbone of a model."""

    def __init__(self):
        super().__init__()
        self.backbone = torchvision.models.resnet18()
        self.backbone.fc = nn.Identity()
        self.head = nn.Linear(512, 2)


def same(network, other):
    state = other.state_dict()
    return all(torch.equal(w, state[name]) for name, w in network.state_dict().items())


def test_backbone_of_torchvision(resnet18, path):
    model = Model()
    start = model.head.weight.clone()
    AACheckpointer(model).load(path)
    assert same(model.backbone, resnet18)
    assert torch.equal(model.head.weight, start)


def test_two_networks_with_these_names(resnet18, path):
    model = nn.ModuleDict({"student": torchvision.models.resnet18(), "teacher": Model()})
    AACheckpointer(model).load(path)
    assert same(model["student"], resnet18) and same(model["teacher"].backbone, resnet18)


def test_network_of_torchvision_reads_its_own_file(resnet18, tmp_path):
    AACheckpointer(resnet18, str(tmp_path)).save("model", iteration=3)
    for resume in (False, True):
        model = torchvision.models.resnet18()
        checkpointer = AACheckpointer(model, str(tmp_path), strict=True)
        rest = checkpointer.resume_or_load(str(tmp_path / "model.pth"), resume=resume)
        assert rest["iteration"] == 3 and same(model, resnet18)


def test_resumed_names_are_never_translated(path, tmp_path):
    """Although a training could start from this file."""
    (tmp_path / "last_checkpoint").write_text("r18.pth")
    checkpointer = AACheckpointer(aa_resnet18(filter="none"), str(tmp_path))
    checkpointer.resume_or_load(path, resume=False)
    with pytest.raises(InputError, match="r18.pth: .* do not fit the model"):
        checkpointer.resume_or_load(path, resume=True)


def test_a_file_of_which_nothing_fits(path, tmp_path):
    with pytest.raises(InputError, match="r18.pth: none of its .* weights fits the model, such as"):
        AACheckpointer(nn.Linear(2, 2)).load(path)
    torch.save({"weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="other.pth: none of its 1 weights fits .* such as weight"):
        AACheckpointer(nn.Linear(2, 2)).load(str(tmp_path / "other.pth"))
