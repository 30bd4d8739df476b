"""Names with the prefixes of wrapping modules."""

import pytest
import torch
import torchvision
from checkpoint.networks import randomise
from torch import nn
from torch.optim.swa_utils import AveragedModel

from aa_detectron.checkpoint import convert, read_checkpoint
from aa_detectron.checkpoint.wrappers import unwrapped
from aa_detectron.engine import AACheckpointer


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "module._orig_mod.", "module.module.", "model.", "backbone."],
)
def test_prefixes(prefix):
    weights = {f"{prefix}a.weight": 1, f"{prefix}b.backbone.module.weight": 2}
    plain = {"a.weight": 1, "b.backbone.module.weight": 2}
    assert unwrapped(weights, lambda names: "a.weight" in names) == plain
    assert unwrapped(weights, lambda names: f"{prefix}a.weight" in names) is weights
    assert unwrapped(weights, lambda names: False) is weights
    some = {**weights, "head.weight": 3}
    assert unwrapped(some, lambda names: "a.weight" in names) is some


def test_no_weights():
    assert unwrapped({}, lambda names: False) == {}


class Lightning(nn.Module):
    """The names of a LightningModule's weights."""

    def __init__(self, model):
        super().__init__()
        self.model = model


@pytest.fixture(scope="module")
def resnet18():
    return randomise(torchvision.models.resnet18(num_classes=3))


@pytest.mark.parametrize("wrap", [AveragedModel, torch.compile, Lightning])
def test_wrapped_networks_are_converted(wrap, resnet18, tmp_path):
    path = str(tmp_path / "wrapped.pth")
    torch.save({"state_dict": wrap(resnet18).state_dict()}, path)
    converted = convert(read_checkpoint(path), path)
    expected = convert({"model": resnet18.state_dict()}, "").weights
    assert converted.weights.keys() == expected.keys()
    assert all(torch.equal(converted.weights[name], w) for name, w in expected.items())


@pytest.mark.parametrize("outer", ["", "model."])
def test_classifiers_of_mmpretrain_are_converted(outer, resnet18, tmp_path):
    path = str(tmp_path / "classifier.pth")
    names = {"fc.weight": "head.fc.weight", "fc.bias": "head.fc.bias"}
    weights = resnet18.state_dict()
    torch.save(
        {"state_dict": {outer + names.get(n, f"backbone.{n}"): w for n, w in weights.items()}},
        path,
    )
    converted, expected = convert(read_checkpoint(path), path), convert({"model": weights}, "")
    assert converted.notes["config"] == expected.notes["config"]
    assert converted.weights.keys() == expected.weights.keys()
    assert all(torch.equal(converted.weights[n], w) for n, w in expected.weights.items())


@pytest.mark.parametrize("wrap", [AveragedModel, torch.compile, Lightning])
def test_a_wrapped_model_reads_its_own_file_and_the_plain_one_too(wrap, tmp_path):
    wrapped = wrap(nn.Linear(2, 2))
    AACheckpointer(wrapped, str(tmp_path)).save("kept")
    for model in (wrap(nn.Linear(2, 2)), nn.Linear(2, 2)):
        AACheckpointer(model, strict=True).load(str(tmp_path / "kept.pth"))
        pairs = zip(model.parameters(), wrapped.parameters(), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)
